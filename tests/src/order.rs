//! The order of contenders in a benchmark. It must not know what they are.

/// A B C, then C B A: a machine that gets slower or faster in the course of the run favours nobody.
pub(crate) fn order<T: Clone>(contenders: &[T], round: u32) -> Vec<T> {
    let mut order = contenders.to_vec();
    if !round.is_multiple_of(2) {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_round_runs_backwards() {
        assert_eq!(order(&["a", "b", "c"], 0), ["a", "b", "c"]);
        assert_eq!(order(&["a", "b", "c"], 1), ["c", "b", "a"]);
    }
}
