//! Which other nodes have fallen silent.
//!
//! No clock tells: the database's may be put forward, and then everybody would seem silent, or back,
//! and then whoever dies would seem alive for as long. A node that said nothing new while this one
//! looked several times is gone; while the database is away nobody looks, and nobody is taken for gone.

use std::collections::HashMap;

/// Looks during which a node that is gone said nothing new. They are 5 s apart, as often as it would
/// have said something.
const LOOKS: u32 = 6;

/// The other nodes, as this one has seen them: what each said last, and the looks since that was new.
#[derive(Default)]
pub struct Peers(HashMap<i64, (i64, u32)>);

impl Peers {
    /// Takes note of what each node has said last. Those that are gone.
    pub fn look(&mut self, said: &[(i64, i64)]) -> Vec<i64> {
        let looks = |&(node, what): &(i64, i64)| match self.0.get(&node) {
            Some(&(before, looks)) if before == what => (node, (what, looks.saturating_add(1))),
            _ => (node, (what, 0)),
        };
        self.0 = said.iter().map(looks).collect();
        let gone = self.0.iter().filter(|(_, (_, looks))| *looks >= LOOKS);
        gone.map(|(node, _)| *node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gone_is_who_says_nothing_new_and_not_who_says_strange_things() {
        let mut peers = Peers::default();
        for look in 0..LOOKS {
            // One's clock goes forwards, one's backwards, and one says nothing.
            let look = i64::from(look);
            let said = [(1, look), (2, -look * 3_600_000), (3, i64::MAX)];
            assert!(peers.look(&said).is_empty());
        }
        assert_eq!(peers.look(&[(1, 100), (2, 1), (3, i64::MAX)]), [3]);
        assert_eq!(peers.look(&[(1, 100), (2, 2), (3, i64::MAX)]), [3]);
        // It comes back, and its row goes and comes again.
        assert!(peers.look(&[(1, 101), (2, 3), (3, 0)]).is_empty());
        assert!(peers.look(&[(1, 102), (2, 4)]).is_empty());
        assert_eq!(peers.0.len(), 2);
    }
}
