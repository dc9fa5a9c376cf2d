//! The answer for programs. Keys and words are stable over versions; numbers are numbers. It must not find anything out.

use outboard_core::manifest::store::State;
use outboard_core::manifest::{Assessment, Behind, Check, Decision, Matched, Verdict, behind};
use serde_json::{Value, json};

use super::Answer;
use crate::holder::{Holder, Holding, Process};
use crate::matching::settings;
use crate::output::printable;

pub(super) fn render(answer: &Answer<'_>) -> Value {
    let found = answer.found;
    let text = |text: &Option<String>| text.as_deref().map(printable);
    let both = answer.judged.decisions.iter().zip(&answer.holdings);
    let functions: Vec<Value> =
        both.map(|(decision, holdings)| function(answer, decision, holdings)).collect();
    let malformed: Vec<String> =
        answer.judged.descriptors.malformed.iter().map(ToString::to_string).collect();
    let not_asked: Vec<Value> = answer
        .not_asked()
        .map(|entry| {
            let state = if entry.state == State::Masked { "masked" } else { "broken" };
            json!({"driver": printable(&entry.name), "source": entry.source.to_string(), "state": state})
        })
        .collect();
    json!({
        "device": found.name,
        "vendor_id": found.vendor_id,
        "product_id": found.product_id,
        "manufacturer": text(&found.manufacturer),
        "product": text(&found.product),
        "serial": text(&found.serial),
        "speed_bits_per_second": found.speed.bits_per_second(),
        "configuration": found.configuration,
        "malformed": malformed,
        "functions": functions,
        "not_asked": not_asked,
    })
}

fn function(answer: &Answer<'_>, decision: &Decision<'_>, holdings: &[Holding]) -> Value {
    let interfaces: Vec<Value> = settings(&answer.judged.descriptors, &decision.function)
        .map(|setting| {
            json!({
                "number": setting.interface,
                "class": setting.class,
                "subclass": setting.subclass,
                "protocol": setting.protocol,
            })
        })
        .collect();
    let winner = decision.winner();
    let drivers: Vec<Value> = decision.ranked.iter().map(|one| driver(answer, one, winner)).collect();
    json!({
        "configuration": decision.function.configuration,
        "interfaces": interfaces,
        "joined_by": decision.function.joined.as_str(),
        "now": holdings.iter().map(now).collect::<Vec<_>>(),
        "winner": winner.map(|winner| &winner.manifest.name),
        "drivers": drivers,
    })
}

fn now(holding: &Holding) -> Value {
    let (holder, driver, processes): (_, _, &[Process]) = match &holding.holder {
        Holder::Nobody => ("nobody", None, &[]),
        Holder::Inactive => ("inactive", None, &[]),
        Holder::Kernel(driver) => ("kernel", Some(driver), &[]),
        Holder::Outboard(processes) => ("outboard", None, processes),
        Holder::Program(processes) => ("program", None, processes),
    };
    let processes: Vec<Value> =
        processes.iter().map(|process| json!({"id": process.id, "name": process.name})).collect();
    json!({
        "holder": holder,
        "kernel_driver": driver,
        "processes": processes,
        "interfaces": holding.interfaces,
        "networks": holding.networks,
    })
}

fn driver(answer: &Answer<'_>, assessment: &Assessment<'_>, winner: Option<&Assessment<'_>>) -> Value {
    let manifest = assessment.manifest;
    let mut value = json!({
        "driver": manifest.name,
        "version": manifest.version.to_string(),
        "priority": manifest.priority,
        "source": answer.source(manifest).to_string(),
    });
    let more = match &assessment.verdict {
        Verdict::Fits { matched, notes } if winner == Some(assessment) => {
            json!({"verdict": "wins", "match": matched_value(matched), "notes": notes})
        }
        Verdict::Fits { matched, notes } => {
            let behind = winner.and_then(|winner| behind(winner, assessment));
            let (reason, criterion) = match behind {
                Some(Behind::LessSpecific(criterion)) => ("less-specific", Some(criterion.key())),
                Some(Behind::LowerPriority) => ("lower-priority", None),
                Some(Behind::LaterName) | None => ("later-name", None),
            };
            json!({
                "verdict": "fits",
                "behind": reason,
                "criterion": criterion,
                "match": matched_value(matched),
                "notes": notes,
            })
        }
        Verdict::Refused { matched, refused } => {
            json!({"verdict": "refuses", "reason": refused.reason, "match": matched_value(matched)})
        }
        Verdict::Differs(difference) => json!({
            "verdict": "differs",
            "closest": {"alternative": difference.alternative, "criteria": criteria(&difference.checks)},
        }),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

fn matched_value(matched: &Matched) -> Value {
    json!({
        "score": matched.score.get(),
        "alternative": matched.alternative,
        "interface": matched.interface,
        "criteria": criteria(&matched.checks),
    })
}

fn criteria(checks: &[Check]) -> Vec<Value> {
    checks
        .iter()
        .map(|check| {
            json!({
                "criterion": check.criterion.key(),
                "wanted": check.wanted,
                "found": printable(&check.found),
                "holds": check.holds,
            })
        })
        .collect()
}
