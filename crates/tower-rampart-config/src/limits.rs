//! How much text is read before it is refused, whatever it says; what the text may say is in `field.rs`.

/// The limits on a document's text and shape.
///
/// # Examples
/// ```
/// use tower_rampart_config::Limits;
///
/// assert_eq!(Limits::default().bytes, 4096);
/// assert_eq!(Limits::file().bytes, 64 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of raw text. Default: 4096.
    pub bytes: usize,
    /// The deepest nesting, the document itself being 0 and a scalar counting too. Default: 10.
    pub depth: usize,
    /// The most properties of one object. Default: 50.
    pub properties: usize,
    /// The most items of one array. Default: 20.
    pub items: usize,
    /// The most characters of a key or a string. Default: 200.
    pub characters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::text()
    }
}

impl Limits {
    /// The limits of text from the environment, the management API and `rampart validate`: 4096 bytes.
    pub const fn text() -> Self {
        Self { bytes: 4096, depth: 10, properties: 50, items: 20, characters: 200 }
    }

    /// The limits of a file given by `--config` or watched: 64 KiB.
    pub const fn file() -> Self {
        Self { bytes: 64 * 1024, ..Self::text() }
    }
}
