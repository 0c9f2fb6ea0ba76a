//! What happened, for observers and the ring of the last events.
