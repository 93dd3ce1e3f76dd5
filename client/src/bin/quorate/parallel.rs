//! Doing one thing for many items, several at a time, until done or interrupted.

use tokio::task::JoinSet;

/// Starts `work` for the items in order, `width` at a time, and gives each result to `done`.
///
/// Ctrl-C starts no more: what is under way is finished. Returns whether that happened.
pub(crate) async fn each<Item, Work, Output>(
    items: impl IntoIterator<Item = Item>,
    width: usize,
    work: impl Fn(Item) -> Work,
    mut done: impl FnMut(Output),
) -> bool
where
    Work: Future<Output = Output> + Send + 'static,
    Output: Send + 'static,
{
    let mut items = items.into_iter();
    let mut running = JoinSet::new();
    let mut interrupted = false;
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        while running.len() < width && !interrupted {
            let Some(item) = items.next() else { break };
            running.spawn(work(item));
        }
        tokio::select! {
            joined = running.join_next() => match joined {
                Some(Ok(output)) => done(output),
                // A task is never cancelled, and one that panicked has said so.
                Some(Err(_)) => {}
                None => return interrupted,
            },
            _ = &mut stop, if !interrupted => interrupted = true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn everything_is_done_once_and_never_more_than_the_width_at_a_time() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut seen = Vec::new();
        let interrupted = runtime.block_on(each(
            0..100,
            7,
            |item| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    item
                }
            },
            |item| seen.push(item),
        ));
        seen.sort_unstable();
        assert!(!interrupted);
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 7);
    }
}
