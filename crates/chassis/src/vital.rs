//! Tasks that a service cannot do without: one that ends before its time ends the process.
//!
//! A runtime goes on when a task panics, and nobody hears of one that returns. What depends on it would
//! wait for ever, and the process would look alive. A process that ends is started again, and every
//! service is made to be killed at any time.

use std::{borrow::Cow, future::Future, process, thread};

use tokio::task::JoinHandle;

use crate::shutdown::Shutdown;

/// The code of a process that ends because of a defect of its own: `EX_SOFTWARE`.
pub(crate) const EXIT_SOFTWARE: u8 = 70;

/// What a task is called in the log.
type TaskName = Cow<'static, str>;

/// What a task must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forbidden {
    /// End, in whatever way, before the end of the service has begun.
    Ending,
    /// Panic.
    Panicking,
}

impl Shutdown {
    /// Spawns a task that runs until the end of the service begins; the end waits for it. See
    /// [`Self::vital`].
    pub fn spawn_vital(
        &self,
        name: impl Into<TaskName> + Send + 'static,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.tasks().spawn(self.vital(name, task))
    }

    /// Spawns a task that may end but not panic; the end of the service waits for it. See
    /// [`Self::panic_free`].
    pub fn spawn_panic_free(
        &self,
        name: impl Into<TaskName> + Send + 'static,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.tasks().spawn(self.panic_free(name, task))
    }

    /// `task`, which must not end before the end of the service begins: if it returns, panics or is
    /// dropped, as when its thread dies, the process ends.
    pub fn vital<N: Into<TaskName>, F: Future<Output = ()>>(
        &self,
        name: N,
        task: F,
    ) -> impl Future<Output = ()> + use<N, F> {
        let guard = self.guard(name.into(), Forbidden::Ending);
        #[cfg(debug_assertions)]
        let task = crate::faults::within(&guard.name, task);
        async move {
            task.await;
            drop(guard);
        }
    }

    /// `task`, which may end, but whose panic would leave others waiting for it: if it panics, the process
    /// ends.
    pub fn panic_free<N: Into<TaskName>, F: Future>(
        &self,
        name: N,
        task: F,
    ) -> impl Future<Output = F::Output> + use<N, F> {
        let guard = self.guard(name.into(), Forbidden::Panicking);
        async move {
            let output = task.await;
            drop(guard);
            output
        }
    }

    fn guard(&self, name: TaskName, forbidden: Forbidden) -> Guard {
        Guard { name, forbidden, shutdown: self.clone() }
    }
}

/// Goes with its task, however that ends.
struct Guard {
    name: TaskName,
    forbidden: Forbidden,
    shutdown: Shutdown,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let panicked = thread::panicking();
        if self.shutdown.has_begun() || !(panicked || self.forbidden == Forbidden::Ending) {
            return;
        }
        let (task, how) = (&*self.name, if panicked { "panicked" } else { "ended" });
        tracing::error!(task, how, "a task that the service cannot do without is gone");
        self.shutdown.fail();
    }
}

impl Shutdown {
    /// Ends the process at once, if this is the end of a process: what depends on the task that is gone
    /// may not even be able to end in order.
    fn fail(&self) {
        if self.is_of_process() {
            process::exit(EXIT_SOFTWARE.into());
        }
        self.begin();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime;

    use super::*;

    fn shutdown() -> Shutdown {
        Shutdown::new(Duration::from_secs(1))
    }

    #[tokio::test]
    async fn a_vital_task_that_returns_or_panics_is_a_fault() {
        let returning = shutdown();
        returning.spawn_vital("one that returns", async {}).await.unwrap();
        assert!(returning.has_begun());

        let panicking = shutdown();
        let task = panicking.spawn_vital("one that panics", async { panic!("on purpose") });
        assert!(task.await.is_err() && panicking.has_begun());
    }

    #[test]
    fn a_vital_task_whose_thread_dies_is_a_fault() {
        let shutdown = shutdown();
        let ending = shutdown.clone();
        let worker = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().build().unwrap();
            runtime.spawn(ending.vital("one that waits", std::future::pending()));
            runtime.block_on(async { panic!("on purpose") });
        });
        assert!(worker.join().is_err() && shutdown.has_begun());
    }

    #[tokio::test]
    async fn what_ends_with_the_service_is_no_fault() {
        let shutdown = shutdown();
        let ending = shutdown.clone();
        let task = shutdown.spawn_vital("one that waits", async move { ending.begun().await });
        shutdown.begin();
        task.await.unwrap();
        assert!(shutdown.finish().await);
    }

    #[tokio::test]
    async fn a_task_that_may_end_must_not_panic() {
        let shutdown = shutdown();
        shutdown.spawn_panic_free("one that returns", async {}).await.unwrap();
        shutdown.spawn_panic_free("one that is given up", std::future::pending()).abort();
        assert!(!shutdown.has_begun());
        let task = shutdown.spawn_panic_free("one that panics", async { panic!("on purpose") });
        assert!(task.await.is_err() && shutdown.has_begun());
    }
}
