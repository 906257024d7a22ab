import CLinux
import Glibc
import JSON
package import Telemetry

/// What a process sets about itself before it does anything else.
package enum ProcessHardening {
    /// Most descriptors asked for; the hard limit of the machine may be lower.
    private static let descriptorsMax: rlim_t = 1 << 20

    /// - files are made for the owner only (umask 077);
    /// - no core dumps, and other processes of the same user cannot read this one's memory: it holds keys;
    /// - SIGPIPE is ignored: a peer that went away is an error of one write, not of the process;
    /// - as many descriptors as the machine allows: each connection takes one.
    ///
    /// What the system refuses is logged and goes on.
    package static func apply(logger: Logger) {
        umask(0o077)
        signal(SIGPIPE, SIG_IGN)
        if clinux_forbid_core_dumps() != 0 {
            logger.warning("core dumps cannot be switched off", ["errno": .int(Int64(errno))])
        }
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_max, max(limit.rlim_cur, ProcessHardening.descriptorsMax))
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
            logger.warning("the limit of open files cannot be raised", ["errno": .int(Int64(errno))])
        }
    }
}
