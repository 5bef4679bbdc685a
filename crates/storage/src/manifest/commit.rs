//! Makes new manifest versions by put-if-absent, and finds the newest one.
