//! The text form of graph models.
