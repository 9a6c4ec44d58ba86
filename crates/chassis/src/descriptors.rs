//! How many files a process may have open. Each connection is one, so this bounds them all.

/// Raises the limit as far as the process may by itself, and returns it. Containers often begin with 1,024
/// although they may have many times as many.
pub(crate) fn raise() -> u64 {
    let before = rlimit::getrlimit(rlimit::Resource::NOFILE);
    let raised = rlimit::increase_nofile_limit(u64::MAX);
    match (before, raised) {
        (Ok((soft, hard)), Ok(now)) => {
            tracing::info!(soft, hard, now, "open files");
            now
        }
        (Ok((soft, hard)), Err(error)) => {
            tracing::warn!(soft, hard, %error, "the limit of open files could not be raised");
            soft
        }
        // A system that does not say has no limit that could be kept.
        (Err(error), _) => {
            tracing::warn!(%error, "the limit of open files is unknown");
            u64::MAX
        }
    }
}
