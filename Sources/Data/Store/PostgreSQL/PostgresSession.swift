import CLinux
import JSON
import Synchronization
import Telemetry
import Time

/// Makes connections ready for the store, and keeps attempts apart while the server is away. Shared by the store's threads.
final class PostgresSessions: Sendable {
    private struct Outage {
        var failures: Int = 0
        /// Monotonic nanoseconds before which nobody tries to connect.
        var pausedUntil: UInt64 = 0
        /// Somebody finds out whether the server is back, which takes long where nothing answers: nobody else waits for that, too.
        var isProbed: Bool = false
        var reason: StoreError?
    }

    let address: PostgresAddress
    private let serverVersionMin: Int32
    private let silence: Duration
    private let logger: Logger
    private let outage: Mutex<Outage> = Mutex(Outage())
    /// The warnings about how the server is set up were logged.
    private let isWarned: Mutex<Bool> = Mutex(false)

    init(_ address: PostgresAddress, _ configuration: StoreConfiguration) {
        self.address = address
        self.serverVersionMin = configuration.serverVersionMin
        self.silence = configuration.silenceMax
        self.logger = configuration.logger
    }

    /// A connection for one thread. While the server is away, most callers get the reason at once.
    func connect(statementTime: Duration, now: UInt64) throws(StoreError) -> PostgresConnection {
        let refusal: StoreError? = self.outage.withLock { outage in
            guard outage.failures > 0 else { return nil }
            if now < outage.pausedUntil || outage.isProbed { return outage.reason }
            outage.isProbed = true
            return nil
        }
        if let refusal { throw refusal }
        do throws(StoreError) {
            let connection: PostgresConnection = try PostgresConnection(
                self.address, statementTime: statementTime, silence: self.silence)
            try self.prepare(connection, statementTime: statementTime)
            self.outage.withLock { $0 = Outage() }
            return connection
        } catch {
            // The attempt itself may have taken seconds.
            let now: UInt64 = clinux_monotonic_nanoseconds()
            self.outage.withLock { outage in
                outage.reason = error
                let pause: UInt64 = PostgresLimits.reconnectPause << UInt64(min(outage.failures, 6))
                outage.pausedUntil = now + min(pause, PostgresLimits.reconnectPauseMax)
                outage.failures += 1
                outage.isProbed = false
            }
            throw error
        }
    }

    private func prepare(_ connection: PostgresConnection, statementTime: Duration) throws(StoreError) {
        guard connection.serverVersion >= self.serverVersionMin else {
            throw .misconfigured(
                "PostgreSQL \(self.address.shown) is version \(Self.words(connection.serverVersion)): "
                    + "expected \(Self.words(self.serverVersionMin)) or newer")
        }
        let encoding: String = connection.setting("server_encoding")
        guard encoding == "UTF8" else {
            throw .misconfigured(
                "the database \(self.address.shown) has the encoding \(encoding): expected UTF8 "
                    + "(CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)")
        }
        try connection.command(
            """
            SET statement_timeout = \(statementTime.millisecondsClamped);
            SET lock_timeout = \(PostgresLimits.lockMillisecondsMax);
            SET idle_in_transaction_session_timeout = \(PostgresLimits.idleTransactionMillisecondsMax);
            SET jit = off;
            """)
        // The server, too, finds out that we are gone, and lets go of what an open transaction of ours has locked.
        try connection.command(
            """
            SET tcp_keepalives_idle = \(PostgresLimits.keepaliveSeconds);
            SET tcp_keepalives_interval = 1;
            SET tcp_keepalives_count = 3;
            SET tcp_user_timeout = \(PostgresLimits.networkMilliseconds);
            """)
        // An acknowledgement stands for a synced commit; a setting that waits for replicas besides is kept.
        _ = try connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
        try self.warn(connection)
    }

    /// Says once what is legal and unwise.
    private func warn(_ connection: PostgresConnection) throws(StoreError) {
        let isFirst: Bool = self.isWarned.withLock { isWarned in
            defer { isWarned = true }
            return !isWarned
        }
        guard isFirst else { return }
        if !connection.isPrivate {
            self.logger.warning(
                "the connection to PostgreSQL is not encrypted: add ?sslmode=verify-full to store.url",
                ["server": .string(self.address.shown)])
        }
        var fsync: String = "on"
        try connection.visit("SELECT current_setting('fsync')", []) { (row: Row) throws(StoreError) -> Bool in
            fsync = try row.text(0)
            return false
        }
        if fsync != "on" {
            self.logger.warning(
                "PostgreSQL runs with fsync = off: what it acknowledges may be lost when its machine fails",
                ["server": .string(self.address.shown)])
        }
    }

    /// 150018 as "15.18".
    private static func words(_ version: Int32) -> String {
        version % 10_000 == 0 ? "\(version / 10_000)" : "\(version / 10_000).\(version % 10_000)"
    }
}
