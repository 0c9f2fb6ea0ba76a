//! Tests of the table of fields.
