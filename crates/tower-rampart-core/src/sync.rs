//! The threads' vocabulary: std in production, loom under `--cfg loom`; and the cell that holds a live configuration.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

/// Locks a mutex whether or not a thread panicked while it held it: no section here leaves its data half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A value that is read on every call and replaced on reload. Readers never wait.
///
/// In production this is an [`arc_swap::ArcSwap`]; loom, which cannot see into that crate, checks the callers' protocol on a twin made of a mutex.
#[derive(Debug)]
pub struct ConfigCell<T> {
    #[cfg(not(loom))]
    value: arc_swap::ArcSwap<T>,
    #[cfg(loom)]
    value: Mutex<std::sync::Arc<T>>,
}

#[cfg(not(loom))]
impl<T> ConfigCell<T> {
    /// A cell that holds `value`.
    pub fn new(value: T) -> Self {
        Self { value: arc_swap::ArcSwap::from_pointee(value) }
    }

    /// Runs `read` on the present value.
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.value.load())
    }

    /// The present value, shared.
    pub fn load(&self) -> std::sync::Arc<T> {
        self.value.load_full()
    }

    /// Replaces the value as a whole.
    pub fn store(&self, value: T) {
        self.value.store(std::sync::Arc::new(value));
    }
}

#[cfg(loom)]
impl<T> ConfigCell<T> {
    /// A cell that holds `value`.
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(std::sync::Arc::new(value)) }
    }

    /// Runs `read` on the present value.
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.load())
    }

    /// The present value, shared.
    pub fn load(&self) -> std::sync::Arc<T> {
        std::sync::Arc::clone(&lock(&self.value))
    }

    /// Replaces the value as a whole.
    pub fn store(&self, value: T) {
        *lock(&self.value) = std::sync::Arc::new(value);
    }
}
