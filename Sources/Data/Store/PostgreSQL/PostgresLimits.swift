/// Limits of the store on PostgreSQL. What goes beyond them fails with a reason.
enum PostgresLimits {
    /// The oldest server the tests run against.
    static let serverVersionMin: Int32 = 150_000
    /// Connections that write; each has a thread.
    static let writersMax: Int = 64
    /// Connections that read; each has a thread.
    static let readersMax: Int = 64
    /// The longest a connection attempt may take, in seconds, for each host of the address.
    static let connectSeconds: Int = 3
    /// After so long without an acknowledgement of what was sent the network counts as cut, in milliseconds.
    static let networkMilliseconds: Int = 4_000
    /// After so long without traffic either side asks whether the other one is still there, in seconds.
    static let keepaliveSeconds: Int = 2
    /// The longest a statement of a write may take on the server, in milliseconds.
    static let writeMillisecondsMax: Int = 15_000
    /// The longest a statement may wait for a lock that another transaction holds, in milliseconds.
    static let lockMillisecondsMax: Int = 10_000
    /// The longest a process may wait for another one's migrations, in milliseconds.
    static let migrationMillisecondsMax: Int = 300_000
    /// After this the server ends a transaction whose process says nothing any more, in milliseconds.
    static let idleTransactionMillisecondsMax: Int = 60_000
    /// Time beyond a statement's own limit after which a silent server counts as lost, in milliseconds.
    static let silenceMilliseconds: Int = 5_000
    /// Closures in one transaction.
    static let groupMax: Int = 16
    /// A transaction that has run this long takes no further closures, in nanoseconds, so that the first does not wait for ever.
    static let groupTimeMax: UInt64 = 5_000_000
    /// How many closures run alone after a transaction of several came to nothing.
    static let groupPause: Int = 32
    /// How often a transaction that others got in the way of runs again side by side with them.
    static let sharedTries: Int = 3
    /// How often it runs in all: beyond `sharedTries` it keeps all others out, so the next one hardly ever fails.
    static let triesMax: Int = 8
    /// Pause before the second try, in nanoseconds; doubled with each further one, and shortened by chance to as little as half.
    static let retryPause: UInt64 = 2_000_000
    /// Pause after the first failed connection attempt, in nanoseconds; doubled with each further one.
    static let reconnectPause: UInt64 = 100_000_000
    static let reconnectPauseMax: UInt64 = 1_000_000_000
    /// How often an idle store looks whether its server is there, in nanoseconds.
    static let heartbeat: UInt64 = 2_000_000_000
    /// While the store is failing: pause between two looks, in nanoseconds.
    static let probeInterval: UInt64 = 500_000_000
    /// What a server that had no space left must have to count as recovered, in bytes.
    static let spaceProbeBytes: Int = 1_000_000
    /// Statements kept prepared by a connection; beyond it all are given up, which only generated SQL text can reach.
    static let statementsMax: Int = 512
}
