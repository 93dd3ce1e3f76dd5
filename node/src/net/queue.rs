//! Frames that wait to be sent: bounded by bytes, filled from any thread, emptied by one task.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::bounds::TOTAL_BYTES_MAX;
use super::error::SendRefused;

/// Bytes in all queues of the node.
#[derive(Debug, Default)]
pub(super) struct Total(AtomicUsize);

/// One queue. Bytes count as queued until they are handed to QUIC, not until they are taken out.
#[derive(Debug)]
pub(super) struct ByteQueue {
    state: Mutex<State>,
    ready: Notify,
    released: Notify,
    bytes_max: usize,
    total: Arc<Total>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
}

impl ByteQueue {
    pub(super) fn new(bytes_max: usize, total: &Arc<Total>) -> Self {
        Self {
            state: Mutex::default(),
            ready: Notify::new(),
            released: Notify::new(),
            bytes_max,
            total: Arc::clone(total),
        }
    }

    /// Takes frames if there is room. An empty queue takes anything, so that no frame is too large for ever.
    ///
    /// # Errors
    /// This queue, or all together, hold too much.
    pub(super) fn push(&self, frames: Bytes) -> Result<(), SendRefused> {
        let mut state = self.state();
        let (queued, total) = (state.bytes, self.total.0.load(Ordering::Relaxed));
        if queued > 0 && queued + frames.len() > self.bytes_max {
            return Err(SendRefused::QueueFull {
                queued,
                max: self.bytes_max,
            });
        }
        if total + frames.len() > TOTAL_BYTES_MAX {
            return Err(SendRefused::TotalFull {
                queued: total,
                max: TOTAL_BYTES_MAX,
            });
        }
        self.insert(&mut state, frames);
        Ok(())
    }

    /// Takes frames without asking for room. For replies that must not be lost; their number is
    /// bounded by the open requests.
    pub(super) fn force(&self, frames: Bytes) {
        self.insert(&mut self.state(), frames);
    }

    fn insert(&self, state: &mut State, frames: Bytes) {
        state.bytes += frames.len();
        self.total.0.fetch_add(frames.len(), Ordering::Relaxed);
        state.frames.push_back(frames);
        self.ready.notify_one();
    }

    /// Up to `bytes_max` bytes of what waits, joined, or the next piece if it alone is longer.
    /// `None` when the queue is closed and empty.
    pub(super) async fn take(&self, bytes_max: usize) -> Option<Bytes> {
        if !self.until_filled().await {
            return None;
        }
        Some(join(&mut self.state().frames, bytes_max))
    }

    /// Waits for something to take. False when the queue is closed and empty.
    pub(super) async fn until_filled(&self) -> bool {
        loop {
            let (empty, closed) = {
                let state = self.state();
                (state.frames.is_empty(), state.closed)
            };
            if !empty || closed {
                return !empty;
            }
            self.ready.notified().await;
        }
    }

    /// The next piece by itself. `None` when the queue is closed and empty.
    pub(super) async fn take_one(&self) -> Option<Bytes> {
        self.take(0).await
    }

    /// Says that so many taken bytes were sent or given up.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        self.total.0.fetch_sub(bytes, Ordering::Relaxed);
        self.released.notify_waiters();
    }

    /// Waits until at most so many bytes are queued.
    pub(super) async fn until_below(&self, bytes: usize) {
        loop {
            let released = self.released.notified();
            if self.bytes() <= bytes {
                return;
            }
            released.await;
        }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// Whether another frame would go over the bound.
    pub(super) fn is_full(&self) -> bool {
        self.bytes() >= self.bytes_max || self.total.0.load(Ordering::Relaxed) >= TOTAL_BYTES_MAX
    }

    /// Nothing more will come: the task that empties it ends when it has.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.ready.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ByteQueue {
    fn drop(&mut self) {
        let bytes = self.bytes();
        self.total.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn join(frames: &mut VecDeque<Bytes>, bytes_max: usize) -> Bytes {
    let first = frames.pop_front().unwrap_or_default();
    match frames.front() {
        Some(second) if first.len() + second.len() <= bytes_max => {}
        Some(_) | None => return first,
    }
    let mut joined = BytesMut::with_capacity(bytes_max);
    joined.extend_from_slice(&first);
    while let Some(next) = frames.pop_front_if(|next| joined.len() + next.len() <= bytes_max) {
        joined.extend_from_slice(&next);
    }
    joined.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn queue(bytes_max: usize) -> ByteQueue {
        ByteQueue::new(bytes_max, &Arc::default())
    }

    #[tokio::test]
    async fn pieces_come_out_in_order_and_joined_up_to_the_bound() {
        let queue = queue(100);
        for piece in ["ab", "cd", "efg", "h"] {
            queue.push(Bytes::from(piece)).unwrap();
        }
        queue.close();
        assert_eq!(queue.take(4).await.unwrap(), "abcd");
        assert_eq!(queue.take_one().await.unwrap(), "efg");
        assert_eq!(queue.take(4).await.unwrap(), "h");
        assert_eq!(queue.take(4).await, None);
    }

    #[tokio::test]
    async fn taken_bytes_count_until_they_are_released() {
        let queue = queue(4);
        queue.push(Bytes::from("abc")).unwrap();
        queue.take(10).await.unwrap();
        assert_eq!(
            queue.push(Bytes::from("de")),
            Err(SendRefused::QueueFull { queued: 3, max: 4 })
        );
        queue.release(3);
        queue.push(Bytes::from("de")).unwrap();
    }

    #[test]
    fn an_empty_queue_takes_a_frame_over_its_bound_and_then_nothing() {
        let queue = queue(4);
        queue.push(Bytes::from("abcdefgh")).unwrap();
        assert!(queue.is_full());
        assert!(queue.push(Bytes::from("i")).is_err());
        queue.force(Bytes::from("i"));
        assert_eq!(queue.bytes(), 9);
    }

    #[test]
    fn all_queues_together_are_bounded_and_forget_what_is_dropped() {
        let total = Arc::default();
        let (one, other) = (
            ByteQueue::new(usize::MAX, &total),
            ByteQueue::new(usize::MAX, &total),
        );
        let half = Bytes::from(vec![0; TOTAL_BYTES_MAX / 2 + 1]);
        one.push(half.clone()).unwrap();
        assert!(matches!(
            other.push(half.clone()),
            Err(SendRefused::TotalFull { .. })
        ));
        drop(one);
        other.push(half).unwrap();
    }

    #[tokio::test]
    async fn waiting_for_room_ends_with_the_release() {
        let queue = queue(10);
        queue.push(Bytes::from("abcdef")).unwrap();
        let wait = async {
            queue.until_below(2).await;
            queue.bytes()
        };
        let empty = async {
            let taken = queue.take(10).await.unwrap();
            queue.release(taken.len());
        };
        assert_eq!(tokio::join!(wait, empty).0, 0);
    }
}
