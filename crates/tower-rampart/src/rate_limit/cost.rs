//! What a request costs.

/// The tokens that a request takes, at least 1.
pub trait Cost<Req> {
    /// The cost of `request`.
    fn cost(&self, request: &Req) -> u32;
}

/// Every request costs one token.
#[derive(Debug, Clone, Copy, Default)]
pub struct One;

impl<Req> Cost<Req> for One {
    fn cost(&self, _request: &Req) -> u32 {
        1
    }
}

impl<F, Req> Cost<Req> for F
where
    F: Fn(&Req) -> u32,
{
    fn cost(&self, request: &Req) -> u32 {
        self(request).max(1)
    }
}
