//! Images on their way to clients: for how long they are good, and how much memory they take in all.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::error::ApiError;
use crate::farm::Farm;
use crate::store::Lookup;

/// An image never changes: whoever has it need not ask again.
pub const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Images that are being sent take this much memory in all: clients that read slowly hold theirs.
const KILOBYTES: usize = 256 << 10;

/// Images that are read from the store at once, whose size is not known until they are there: twice
/// what keeps a store's connections busy.
const READS: usize = 16;

/// What all images that are being sent take of memory.
pub struct Outgoing {
    turns: Semaphore,
    kilobytes: Arc<Semaphore>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Outgoing {
            turns: Semaphore::new(READS),
            kilobytes: Arc::new(Semaphore::new(KILOBYTES)),
        }
    }
}

impl Outgoing {
    /// An image of the store, which counts until the last byte of it is sent.
    pub async fn read(
        &self,
        farm: &Farm,
        uuid: Uuid,
        known: Option<String>,
    ) -> Result<Lookup, ApiError> {
        // Held until it counts, or any number of them could be in memory uncounted.
        let _turn = self.turns.acquire().await;
        let mut found = farm.image(uuid, known).await?;
        if let Lookup::Image(image) = &mut found {
            let kilobytes = kilobytes(image.png.len() as u64);
            let room = self.kilobytes.clone().try_acquire_many_owned(kilobytes);
            let room = room.map_err(|_| {
                let message = "too many images are being sent at this moment";
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(5)
            })?;
            image.png = Room(Some(room)).hold(std::mem::take(&mut image.png));
        }
        Ok(found)
    }

    /// Room for an image of so many bytes, once there is.
    pub async fn room(&self, bytes: u64) -> Room {
        let room = self.kilobytes.clone().acquire_many_owned(kilobytes(bytes));
        // It fails only if it is closed, which it never is.
        Room(room.await.ok())
    }
}

fn kilobytes(bytes: u64) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX)
}

/// Room among the images on their way.
pub struct Room(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

impl Room {
    /// The same bytes, which hold the room until they are sent.
    pub fn hold(self, bytes: Bytes) -> Bytes {
        struct Held(Bytes, #[expect(dead_code, reason = "held")] Room);
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Held(bytes, self))
    }
}
