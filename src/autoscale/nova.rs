//! Scaling a deployment of `faafo provision` on its cloud, as `faafo provision scale` does.

use std::collections::HashMap;

use super::farm::{Farm, Look};
use crate::provision::cloud::Cloud;
use crate::provision::{Blueprint, Board, Error, Server, Survey, Wanted, scale, up};

pub struct Nova {
    cloud: Cloud,
    wanted: Wanted,
    board: Board,
}

impl Nova {
    /// `wanted` tells of which deployment, and how its new workers are to be.
    pub fn new(cloud: Cloud, wanted: Wanted) -> Nova {
        Nova {
            cloud,
            wanted,
            board: Board::in_log(),
        }
    }

    /// Workers there are, but for those that the cloud could not make.
    pub async fn have(&self) -> Result<u32, Error> {
        let workers = scale::workers(&self.cloud, &self.wanted.name).await?;
        let sound = workers.iter().filter(|worker| !worker.is_stillborn());
        Ok(sound.count() as u32)
    }

    /// Has more workers made.
    pub async fn grow(&self, count: u32) -> Result<(), Error> {
        let survey = Survey::of(&self.cloud, &self.wanted.name).await?;
        let workers = survey.workers().into_iter();
        let failed: Vec<_> = workers.filter(|one| one.is_stillborn()).cloned().collect();
        if let Some(one) = failed.first() {
            // The next try is one from the beginning.
            let why = scale::fault(&self.cloud, one).await?;
            self.remove(&survey, &failed).await?;
            return Err(Error::Failed(format!("{} is in ERROR: {why}", one.name)));
        }
        let wanted = Wanted {
            workers: Some(u16::try_from(count).unwrap_or(u16::MAX)),
            ..self.wanted.clone()
        };
        let blueprint = Box::pin(Blueprint::draw(&self.cloud, wanted)).await?;
        Box::pin(up::run(&self.cloud, &blueprint, None, &self.board)).await?;
        Ok(())
    }

    /// Takes workers away that render nothing, until `count` are left or all others render. They are
    /// shut down before they are deleted, and so give back what they begin in the last moment. Whether
    /// any has left.
    pub async fn shrink(&self, count: u32, farm: &mut Farm) -> Result<bool, Error> {
        let survey = Survey::of(&self.cloud, &self.wanted.name).await?;
        // How it was before that is too long ago.
        let look = match farm.look().await {
            Ok(look) => look,
            Err(blind) => return Err(Error::Failed(blind.to_string())),
        };
        let workers: Vec<_> = survey.workers().into_iter().rev().collect();
        let many = workers.len().saturating_sub(count as usize);
        let names: Vec<_> = workers.iter().map(|one| one.name.as_str()).collect();
        let leaving: Vec<_> = idle(&names, &look)
            .into_iter()
            .take(many)
            .map(|place| workers[place].clone())
            .collect();
        if leaving.is_empty() {
            return Ok(false);
        }
        self.remove(&survey, &leaving).await?;
        Ok(true)
    }
}

impl Nova {
    async fn remove(&self, survey: &Survey, leaving: &[Server]) -> Result<(), Error> {
        scale::remove(&self.cloud, &self.wanted.name, survey, leaving, &self.board).await
    }
}

/// The places of those that render nothing: first those that the farm does not know, which are broken
/// or not there yet. None, if something is rendered by nobody knows whom; and none of those that will
/// have something to do in a moment.
pub fn idle(names: &[&str], look: &Look) -> Vec<usize> {
    if !look.is_whole() {
        return Vec::new();
    }
    let mut known: HashMap<&str, bool> = HashMap::new();
    for worker in &look.workers {
        *known.entry(&worker.name).or_insert(true) &= worker.rendering.is_empty();
    }
    let of = |state: Option<bool>| {
        let places = names.iter().enumerate();
        let found = places.filter(|(_, name)| known.get(**name).copied() == state);
        found.map(|(place, _)| place).collect::<Vec<_>>()
    };
    match look.queued {
        0 => [of(None), of(Some(true))].concat(),
        _ => of(None),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::wire::lease::WorkerDoc;

    #[test]
    fn who_renders_stays() {
        let worker = |name: &str, rendering: usize| WorkerDoc {
            id: Uuid::new_v4(),
            name: name.into(),
            version: "1".into(),
            slots: 2,
            rendering: vec![Uuid::nil(); rendering],
            done: 0,
            rate: 0.0,
            silent: 0.0,
        };
        let mut look = Look {
            queued: 0,
            running: 2,
            oldest: None,
            ended: 0,
            workers: vec![worker("w1", 0), worker("w2", 2), worker("w4", 0)],
        };
        // The last one first, but the one that never came before all.
        assert_eq!(idle(&["w4", "w3", "w2", "w1"], &look), [1, 0, 3]);
        look.queued = 1;
        assert_eq!(idle(&["w4", "w3", "w2", "w1"], &look), [1]);
        look.running = 3;
        assert!(idle(&["w4", "w3", "w2", "w1"], &look).is_empty());
    }
}
