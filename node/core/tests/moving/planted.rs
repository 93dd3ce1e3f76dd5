//! Rules that are broken on purpose, and found out.
