//! One reading of `/proc/locks` after the other, made into changes. No clock, no I/O.
