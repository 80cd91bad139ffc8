//! What takes long beside what must not wait: evaluations and look-ups, few at a time.
use super::Api;
use super::answer::PromError;
use crate::store::Store;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{block_in_place, spawn_blocking};

/// How long one waits for others to end.
const WAIT: Duration = Duration::from_secs(1);

impl Api {
    /// Does what may take long where it holds up no other answer, few at a time.
    ///
    /// The thread stays and leaves its other tasks to another: most of what is asked takes less long than to be handed to a thread
    /// and back.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, PromError> {
        let permit = tokio::time::timeout(WAIT, Arc::clone(&self.queries).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(PromError::unavailable("too many queries at once; ask again".into()));
        };
        let store = self.store.clone();
        let work = move || {
            let _permit = permit;
            work(&store)
        };
        let done = match Handle::current().runtime_flavor() {
            // There is no other thread to leave them to.
            RuntimeFlavor::CurrentThread => spawn_blocking(work).await.ok(),
            _ => block_in_place(|| catch_unwind(AssertUnwindSafe(work))).ok(),
        };
        done.ok_or_else(|| {
            PromError::internal("what was asked broke the server's work on it; this is our fault".into())
        })
    }
}
