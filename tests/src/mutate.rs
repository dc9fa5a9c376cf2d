//! A small deterministic mutator: it feeds a fuzz target on a stable compiler, the same way in every run. It is no
//! replacement for libFuzzer, which sees what its inputs reach.

/// Marsaglia's xorshift64*: enough to vary bytes, the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for every seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() >> 33) as usize % end.max(1)
    }
}

/// Values that lengths, counts and addresses break on.
const EDGES: [u8; 12] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 0x7f, 0x80, 0xff];
/// No input grows beyond this.
const LONGEST: usize = 4096;

/// Changes `bytes` in one to eight places, few more often than many: what is nearly right gets furthest. `other` is another seed, to take pieces from.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let most = random.below(8) + 1;
    for _ in 0..=random.below(most) {
        let at = random.below(bytes.len());
        let length = random.below(bytes.len() - at).min(64);
        match random.below(9) {
            0 if !bytes.is_empty() => bytes[at] = random.number() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 | 3 if !bytes.is_empty() => bytes[at] = EDGES[random.below(EDGES.len())],
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..at + length)),
            6 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            7 => {
                let from = random.below(other.len());
                let piece = &other[from..from + random.below(other.len() - from).min(64)];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => bytes.insert(at, random.number() as u8),
        }
        bytes.truncate(LONGEST);
    }
}

/// Feeds a target every seed as it is, and then `count` mutations of them.
pub fn feed(target: fn(&[u8]), seeds: &[Vec<u8>], count: u64) {
    seeds.iter().for_each(|seed| target(seed));
    for round in 0..count {
        let mut random = Random::new(round + 1);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut bytes, &seeds[random.below(seeds.len())], &mut random);
        target(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_round_gives_the_same_bytes_and_another_gives_others() {
        let seed: Vec<u8> = (0..100).collect();
        let round = |number| {
            let mut bytes = seed.clone();
            mutate(&mut bytes, &seed, &mut Random::new(number));
            bytes
        };
        let all: std::collections::HashSet<_> = (1..=1000).map(round).collect();
        assert!(all.len() > 900, "{}", all.len());
        assert_eq!(round(7), round(7));
        assert!(all.iter().any(|bytes| bytes.len() < 50) && all.iter().any(|bytes| bytes.len() > 150));
    }

    #[test]
    fn nothing_comes_of_nothing_without_panic() {
        for round in 0..1000 {
            mutate(&mut Vec::new(), &[], &mut Random::new(round));
        }
    }
}
