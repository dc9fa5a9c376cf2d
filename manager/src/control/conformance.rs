//! What we send, compared with the definition of the interface as an independent reader of Varlink understands it. It must not know how it is sent.

use serde_json::{Value, json};
use zlink_idl::{Interface, Type};

use super::log::{Level, LogLine};
use super::message::{Call, Fault, MANAGER, Method, SERVICE};
use super::{Info, sample};

/// Whether a value is of a type: each field that the type has, no other, and of its type.
fn conforms(interface: &Interface<'_>, value: &Value, wanted: &Type<'_>, at: &str) {
    let object = |fields: Vec<(String, &Type<'_>)>| {
        let found = value.as_object().unwrap_or_else(|| panic!("{at} is no object: {value}"));
        for name in found.keys() {
            assert!(fields.iter().any(|(known, _)| known == name), "{at}.{name} is not defined");
        }
        for (name, wanted) in fields {
            let field = found.get(&name).unwrap_or_else(|| panic!("{at}.{name} is missing"));
            conforms(interface, field, wanted, &format!("{at}.{name}"));
        }
    };
    match wanted {
        Type::Bool => assert!(value.is_boolean(), "{at} is {value}"),
        Type::Int => assert!(value.is_i64(), "{at} is {value}"),
        Type::String => assert!(value.is_string(), "{at} is {value}"),
        Type::Optional(_) if value.is_null() => {}
        Type::Optional(inner) => conforms(interface, value, inner.inner(), at),
        Type::Array(inner) => {
            let values = value.as_array().unwrap_or_else(|| panic!("{at} is no array: {value}"));
            for value in values {
                conforms(interface, value, inner.inner(), &format!("{at}[]"));
            }
        }
        Type::Object(fields) => {
            object(fields.iter().map(|field| (field.name().to_string(), field.ty())).collect());
        }
        Type::Custom(name) => {
            let custom = interface.custom_types().find(|custom| custom.name() == name);
            let custom = custom.unwrap_or_else(|| panic!("{at}: the type {name} is not defined"));
            if let Some(custom) = custom.as_object() {
                object(custom.fields().map(|field| (field.name().to_string(), field.ty())).collect());
            } else if let Some(custom) = custom.as_enum() {
                let known = custom.variants().any(|variant| value == &json!(variant.name().to_string()));
                assert!(known, "{at} is {value}, which {name} does not have");
            }
        }
        other => panic!("{at}: {other} is a type that we do not use"),
    }
}

/// The reply of a method is these parameters.
fn replies(method: &str, parameters: &Value) {
    let interface = Interface::try_from(MANAGER).unwrap();
    let defined = interface.methods().find(|defined| *defined.name() == method).unwrap();
    let names: Vec<String> = defined.outputs().map(|output| output.name().to_string()).collect();
    let sent: Vec<&String> = parameters.as_object().unwrap().keys().collect();
    assert_eq!(sent.len(), names.len(), "{method}: {sent:?} instead of {names:?}");
    for output in defined.outputs() {
        let name = output.name().to_string();
        conforms(&interface, &parameters[&name], output.ty(), &name);
    }
}

#[test]
fn the_picture_is_as_defined() {
    let registry = json!({ "registry": sample::registry() });
    replies("GetRegistry", &registry);
    replies("Watch", &registry);
}

#[test]
fn every_state_is_defined() {
    use outboard_core::registry::State::{Quarantined, Running, Starting, Stopping, Waiting};
    for state in [Starting, Running, Waiting, Quarantined, Stopping] {
        let mut registry = sample::registry();
        registry.devices[0].functions[0].instance_mut().unwrap().state = state;
        replies("GetRegistry", &json!({ "registry": registry }));
    }
}

#[test]
fn the_log_and_the_manager_are_as_defined() {
    for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace] {
        replies("Log", &json!({ "line": LogLine::now(level, Some("1-2".into()), "it serves") }));
    }
    replies("Log", &json!({ "line": Value::Null }));
    let info = Info { version: "1".into(), pid: 1, since: sample::now() };
    replies("GetInfo", &serde_json::to_value(info).unwrap());
}

#[test]
#[should_panic(expected = "registry.devices[].holder is not defined")]
fn a_field_too_many_would_be_noticed() {
    let mut registry = serde_json::to_value(sample::registry()).unwrap();
    registry["devices"][0]["holder"] = json!("me");
    replies("GetRegistry", &json!({ "registry": registry }));
}

/// A value for a parameter, by its type.
fn example(wanted: &Type<'_>) -> Value {
    match wanted {
        Type::String => json!("1-2"),
        Type::Bool => json!(true),
        other => panic!("no parameter of ours is {other}"),
    }
}

#[test]
fn every_defined_method_is_there() {
    for text in [MANAGER, SERVICE] {
        let interface = Interface::try_from(text).unwrap();
        for method in interface.methods() {
            let parameters: serde_json::Map<String, Value> =
                method.inputs().map(|input| (input.name().to_string(), example(input.ty()))).collect();
            let call = Call {
                method: format!("{}.{}", interface.name(), method.name()),
                parameters: Some(Value::Object(parameters)),
                more: None,
                oneway: None,
            };
            assert!(Method::of(&call).is_ok(), "{call:?}");
        }
    }
}

#[test]
fn every_fault_is_defined() {
    let text = String::new;
    for fault in [
        Fault::InterfaceNotFound(text()),
        Fault::MethodNotFound(text()),
        Fault::InvalidParameter(text()),
        Fault::ExpectedMore,
        Fault::NoSuchDevice(text()),
        Fault::NotServed(text()),
        Fault::Refused(text()),
        Fault::NotAllowed,
    ] {
        let reply = fault.reply();
        let name = reply.error.unwrap();
        let (interface, error) = name.rsplit_once('.').unwrap();
        let text = if interface == "io.outboard.Manager" { MANAGER } else { SERVICE };
        let interface = Interface::try_from(text).unwrap();
        let defined =
            interface.errors().find(|defined| *defined.name() == error).expect("the error is defined");
        let fields: Vec<String> = defined.fields().map(|field| field.name().to_string()).collect();
        let parameters = reply.parameters.unwrap();
        let sent: Vec<String> = parameters.as_object().unwrap().keys().cloned().collect();
        assert_eq!(sent, fields, "{name}");
    }
}
