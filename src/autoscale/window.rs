//! A number as it was at each look of the last while.

use std::collections::VecDeque;
use std::time::Duration;

pub struct Window {
    length: Duration,
    kept: VecDeque<(Duration, u32)>,
}

impl Window {
    pub fn new(length: Duration) -> Window {
        Window {
            length,
            kept: VecDeque::new(),
        }
    }

    pub fn push(&mut self, now: Duration, number: u32) {
        self.kept.push_back((now, number));
        // The first one kept is the last that is older than the window: so it is known throughout.
        while self
            .kept
            .get(1)
            .is_some_and(|(at, _)| *at + self.length <= now)
        {
            self.kept.pop_front();
        }
    }

    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// The largest of the last while, once all of it is known.
    pub fn most(&self, now: Duration) -> Option<u32> {
        self.whole(now)?.max()
    }

    /// The smallest, likewise.
    pub fn least(&self, now: Duration) -> Option<u32> {
        self.whole(now)?.min()
    }

    fn whole(&self, now: Duration) -> Option<impl Iterator<Item = u32>> {
        let (first, _) = self.kept.front()?;
        let whole = *first + self.length <= now;
        whole.then(|| self.kept.iter().map(|(_, number)| *number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_nothing_before_it_knows_all() {
        let mut window = Window::new(Duration::from_secs(10));
        let at = Duration::from_secs;
        assert_eq!(window.most(at(0)), None);
        for (now, number) in [(0, 7), (4, 2), (9, 3)] {
            window.push(at(now), number);
            assert_eq!(window.most(at(now)), None);
        }
        window.push(at(10), 1);
        assert_eq!(
            (window.most(at(10)), window.least(at(10))),
            (Some(7), Some(1))
        );
        window.push(at(14), 1);
        assert_eq!(window.most(at(14)), Some(3));
        window.clear();
        assert_eq!(window.most(at(14)), None);
    }
}
