//! Where the engine's work runs and how it waits, as a part that is passed in: tokio in the binary, one thread with
//! virtual time in a simulation, so that a run can be had again.
//!
//! The engine starts no task, no thread and no timer but through here. What it waits on besides (channels, permits,
//! notifications) needs no runtime.

use std::fmt;
use std::io;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::error::StorageError;

/// Runs tasks.
pub trait Runtime: Send + Sync + fmt::Debug {
    /// Runs a task that never blocks, beside the others.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs a piece of work that blocks or computes for long, where it keeps no task waiting.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);

    /// Runs a task that blocks again and again, on a thread of its own with this name.
    ///
    /// # Errors
    /// When there is no thread to be had.
    fn spawn_thread(&self, name: &str, task: BoxFuture<'static, ()>) -> io::Result<()>;

    /// Waits so long.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// The runtime that the caller is in: everything of the engine must be called inside of a tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // A task reports by itself; its handle says nothing more.
        drop(tokio::spawn(task));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(tokio::task::spawn_blocking(work));
    }

    fn spawn_thread(&self, name: &str, task: BoxFuture<'static, ()>) -> io::Result<()> {
        let handle = tokio::runtime::Handle::current();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || handle.block_on(task))?;
        Ok(())
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// Does work that blocks, and waits for its result.
///
/// # Errors
/// When the work panicked or the runtime ends.
pub(crate) async fn blocking<T: Send + 'static>(
    runtime: &dyn Runtime,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StorageError> {
    let (reply, answer) = oneshot::channel();
    runtime.spawn_blocking(Box::new(move || {
        // Whoever asked may be gone.
        let _gone = reply.send(work());
    }));
    answer.await.map_err(|_| ended_early())
}

/// Runs a task whether or not its caller stays, and waits for its result.
///
/// # Errors
/// When the task panicked or the runtime ends.
pub(crate) async fn detached<T: Send + 'static>(
    runtime: &dyn Runtime,
    task: impl Future<Output = T> + Send + 'static,
) -> Result<T, StorageError> {
    let (reply, answer) = oneshot::channel();
    runtime.spawn(Box::pin(async move {
        let _gone = reply.send(task.await);
    }));
    answer.await.map_err(|_| ended_early())
}

fn ended_early() -> StorageError {
    StorageError::Internal("a task ended early".to_owned())
}
