//! A profile as BPF. It knows seccomp's actions and must not know why a call is allowed.
//!
//! Two filters, of which the kernel obeys the stricter: one makes the refused calls fail, the other kills for every call that is neither allowed
//! nor refused. One would do if seccompiler knew three actions.

use std::collections::BTreeMap;

use rustix::io::Errno;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::profile::{Arguments, Profile, REFUSED};

/// Compiles a profile, in the order in which the programs are to be installed: after the last one, no filter can be installed any more.
///
/// # Errors
/// The lists are too long for BPF, or this architecture has no filter.
pub(super) fn compile(profile: &Profile) -> Result<[BpfProgram; 2], BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut allowed = BTreeMap::new();
    for call in profile.calls() {
        allowed.insert(call.number, rules(call.arguments)?);
    }
    for (_, number) in REFUSED {
        allowed.insert(*number, Vec::new());
    }
    let allowed = SeccompFilter::new(allowed, SeccompAction::KillProcess, SeccompAction::Allow, arch)?;

    let other_ioctls = profile
        .ioctls()
        .into_iter()
        .map(|(_, number)| condition(1, SeccompCmpOp::Ne, number))
        .collect::<Result<Vec<_>, _>>()?;
    let other_ioctls =
        if other_ioctls.is_empty() { Vec::new() } else { vec![SeccompRule::new(other_ioctls)?] };
    let mut refused: BTreeMap<_, _> = REFUSED.iter().map(|(_, number)| (*number, Vec::new())).collect();
    refused.insert(libc::SYS_ioctl, other_ioctls);
    let errno = SeccompAction::Errno(Errno::ACCESS.raw_os_error().cast_unsigned());
    let refused = SeccompFilter::new(refused, SeccompAction::Allow, errno, arch)?;
    Ok([refused.try_into()?, allowed.try_into()?])
}

fn rules(arguments: Arguments) -> Result<Vec<SeccompRule>, BackendError> {
    match arguments {
        // Of ioctls, the other filter takes care.
        Arguments::Any | Arguments::Ioctls => Ok(Vec::new()),
        Arguments::OneOf { index, values } => values
            .iter()
            .map(|value| SeccompRule::new(vec![condition(index, SeccompCmpOp::Eq, *value)?]))
            .collect(),
        Arguments::Without { index, bits } => {
            let masked = SeccompCmpOp::MaskedEq(bits.into());
            Ok(vec![SeccompRule::new(vec![condition(index, masked, 0)?])?])
        }
    }
}

/// On the low 32 bits, which are all that the kernel looks at in these arguments.
fn condition(index: u8, operator: SeccompCmpOp, value: u32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::profile::tests::all;

    #[test]
    fn every_profile_compiles_within_the_kernels_bounds() {
        for profile in all() {
            for program in compile(&profile).unwrap() {
                // BPF_MAXINSNS of linux/bpf_common.h; each instruction costs time in every call.
                assert!((1..512).contains(&program.len()), "{profile:?}: {} instructions", program.len());
            }
        }
    }
}
