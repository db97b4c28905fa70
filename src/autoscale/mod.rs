//! `faafo autoscale`: as many workers as what waits takes.
//!
//! ```text
//!   farm.rs: what waits, who renders  ──>  decide.rs: how many are to be  ──>  nova.rs, webhooks.rs
//!                  (looks)                     (thinks, and is pure)                (act)
//! ```
//!
//! What it knows it sees at every look anew: there is nothing to lose when it ends.

mod decide;
mod farm;
mod ledger;
mod load;
mod nova;
mod outage;
#[cfg(test)]
mod simulation;
mod webhooks;
mod window;

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use decide::Policy;
use decide::{Decider, Verdict, Why};
pub use farm::Farm;
use farm::Look;
pub use ledger::Ledger;
use load::Seen;
pub use nova::Nova;
use outage::Outage;
pub use webhooks::{Addresses, Webhooks};

use crate::provision;

/// Who makes workers, and takes them away.
pub enum Scaler {
    Nova(Box<Nova>),
    Webhooks(Box<Webhooks>),
}

#[derive(Debug, thiserror::Error)]
enum ScaleError {
    #[error(transparent)]
    Cloud(#[from] provision::Error),
    #[error(transparent)]
    Webhook(#[from] webhooks::CallError),
}

pub struct Settings {
    pub policy: Policy,
    /// Time between two looks.
    pub interval: Duration,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

pub struct Autoscaler {
    farm: Farm,
    scaler: Scaler,
    settings: Settings,
    decider: Decider,
    begun: Instant,
    have: Option<u32>,
    /// What the log was last told.
    told: Option<(u32, Why)>,
    /// Workers that are to be there once those have come that the cloud was asked for.
    growing: Option<usize>,
    farm_outage: Outage,
    /// Of asking how many workers there are.
    count_outage: Outage,
    /// Of having more or fewer.
    scale_outage: Outage,
}

impl Autoscaler {
    pub fn new(farm: Farm, scaler: Scaler, settings: Settings) -> Autoscaler {
        Autoscaler {
            decider: Decider::new(settings.policy),
            farm,
            scaler,
            settings,
            begun: Instant::now(),
            have: None,
            told: None,
            growing: None,
            farm_outage: Outage::default(),
            count_outage: Outage::default(),
            scale_outage: Outage::default(),
        }
    }

    /// Looks and acts until `stop` is cancelled. What it is doing then it ends.
    pub async fn run(&mut self, stop: &CancellationToken) {
        loop {
            let looked = tokio::select! {
                looked = self.look() => looked,
                // Nothing is lost by not looking.
                () = stop.cancelled() => return,
            };
            let pause = match looked {
                Ok((look, have)) => {
                    self.act(&look, have).await;
                    self.settings.interval
                }
                Err(pause) => pause,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The workers that there were at the last look, in words.
    pub fn workers(&self) -> String {
        match self.have {
            Some(have) => decide::count(have, "worker"),
            None => "all workers".into(),
        }
    }

    /// What the farm does and how many workers there are, or how long to wait before the next look.
    async fn look(&mut self) -> Result<(Look, u32), Duration> {
        let look = match self.farm.look().await {
            Ok(look) => look,
            Err(why) => {
                self.decider.blind();
                if let Scaler::Webhooks(webhooks) = &mut self.scaler {
                    webhooks.blind();
                }
                let what = format!("the farm does not answer; {} as before", self.workers());
                return Err(self.farm_outage.failed(what, why));
            }
        };
        self.farm_outage.over("the farm answers again");
        let now = self.begun.elapsed();
        match &mut self.scaler {
            Scaler::Webhooks(webhooks) => self.have = Some(webhooks.have(now, &look)),
            Scaler::Nova(nova) if self.count_outage.may_try() => match nova.have().await {
                Ok(have) => {
                    self.count_outage.over("the cloud answers again");
                    self.have = Some(have);
                }
                Err(why) => {
                    let what = format!("cannot ask the cloud; {} as before", self.workers());
                    self.count_outage.failed(what, why);
                }
            },
            // As many as there were.
            Scaler::Nova(_) => {}
        }
        match self.have {
            Some(have) => Ok((look, have)),
            None => Err(self.settings.interval),
        }
    }

    async fn act(&mut self, look: &Look, have: u32) {
        let now = self.begun.elapsed();
        let verdict = self.decider.decide(now, seen(look, have));
        self.tell(&verdict, look);
        if self.growing.is_some_and(|to| look.workers.len() >= to) {
            self.growing = None;
            self.scale_outage.over(SCALES_AGAIN);
        }
        let wanted = verdict.wanted;
        let cannot = self.count_outage.is_on() || !self.scale_outage.may_try();
        if wanted == have || self.settings.dry_run || cannot {
            return;
        }
        let done = match &mut self.scaler {
            Scaler::Webhooks(webhooks) => match webhooks.scale(now, wanted, look).await {
                Ok(called) => Ok(called),
                Err(error) => Err(ScaleError::from(error)),
            },
            Scaler::Nova(nova) if wanted > have => {
                let made = nova.grow(wanted).await;
                // It is sure of them only when they are there.
                self.growing = made.is_ok().then_some(wanted as usize);
                made.map(|()| false).map_err(ScaleError::from)
            }
            Scaler::Nova(nova) => {
                let taken = nova.shrink(wanted, &mut self.farm).await;
                taken.map_err(ScaleError::from)
            }
        };
        match done {
            Ok(true) => self.scale_outage.over(SCALES_AGAIN),
            Ok(false) if self.growing.is_some() && self.scale_outage.is_on() => {
                self.scale_outage.pause();
            }
            Ok(false) => {}
            Err(why) => {
                let what = format!(
                    "cannot have {wanted} instead of {}, trying on",
                    self.workers()
                );
                self.scale_outage.failed(what, why);
            }
        }
    }

    /// A line for each change, and none while all stays as it was said to be.
    fn tell(&mut self, verdict: &Verdict, look: &Look) {
        let told = (verdict.wanted, verdict.why);
        match verdict.why {
            // There are as many as there may be as long as anything waits.
            Why::Well
                if look.queued > 0 && self.told.is_some_and(|(_, why)| why == Why::WaitsAtMost) => {
            }
            Why::Well => self.told = None,
            _ if self.told == Some(told) => {}
            _ => {
                self.told = Some(told);
                match self.settings.dry_run {
                    true => tracing::info!("would do: {verdict}"),
                    false => tracing::info!("{verdict}"),
                }
            }
        }
    }
}

const SCALES_AGAIN: &str = "scaling works again";

fn seen(look: &Look, have: u32) -> Seen {
    Seen {
        queued: look.queued,
        running: look.running,
        ended: look.ended,
        oldest: look.oldest,
        workers: look.workers.len() as u32,
        slots: look.slots(),
        have,
    }
}
