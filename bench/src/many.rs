//! Many pieces of work, so many at a time.

use tokio::task::{JoinError, JoinSet};

/// Does `work` for each item, `at_once` of them at the same time, and hands over each result as it comes.
pub(crate) async fn many<Item, Out, Work>(
    at_once: usize,
    mut items: impl Iterator<Item = Item>,
    work: impl Fn(Item) -> Work,
    mut ended: impl FnMut(Out),
) where
    Out: Send + 'static,
    Work: Future<Output = Out> + Send + 'static,
{
    let mut running = JoinSet::new();
    loop {
        while running.len() < at_once.max(1) {
            let Some(item) = items.next() else { break };
            running.spawn(work(item));
        }
        let Some(one) = running.join_next().await else {
            return;
        };
        ended(one.unwrap_or_else(pass_on));
    }
}

/// A task is never cancelled: it panicked, and so does whoever waits for it.
fn pass_on<T>(error: JoinError) -> T {
    std::panic::resume_unwind(error.into_panic())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn all_is_done_and_never_more_at_once_than_asked() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut done = Vec::new();
        let work = |item: u32| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                let now = running.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::Relaxed);
                item
            }
        };
        many(3, 0..20, work, |item| done.push(item)).await;
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::Relaxed), 3);
    }
}
