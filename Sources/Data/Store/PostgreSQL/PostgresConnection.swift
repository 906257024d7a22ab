import CLinux
import CPostgres
import Glibc
import Time

/// One connection to PostgreSQL with its prepared statements. Confined to one thread at a time: whoever owns it calls it.
///
/// Parameters and results travel in binary form. A transaction begins with its first statement, in the same round trip.
///
/// PostgreSQL ends a transaction at its first failed statement, SQLite only the statement. `trouble` tells what happened, so
/// that the owner of the transaction can run it again; with `savesEachStatement` every statement gets a savepoint and a
/// failed one undoes only itself, at the cost of two more round trips.
final class PostgresConnection {
    let address: PostgresAddress
    /// What went wrong first in the open transaction.
    private(set) var trouble: PostgresFailure?
    /// The transaction was used although a statement had failed in it.
    private(set) var wasUsedAfterTrouble: Bool = false
    /// COMMIT was sent: from then on only its answer tells whether it happened.
    private(set) var isCommitting: Bool = false
    /// What the server warned of while it committed: replicas have not confirmed in time, though they should.
    private var commitWarning: String?
    /// Statements so far that may have changed something.
    private(set) var changes: Int = 0
    /// Set before a transaction that cares for failed statements.
    var savesEachStatement: Bool = false

    private var handle: OpaquePointer?
    private let statementTime: Duration
    /// After so long without an answer the server counts as gone.
    private let silenceLimit: Duration
    private var statements: [String: PostgresStatement] = [:]
    private var commands: [String: String] = [:]
    private var lastName: Int = 0
    /// Begins the transaction; sent with its first statement.
    private var opening: [String] = []
    private var isRestricted: Bool = false
    private var isReader: Bool = false

    /// Connects. Blocks for at most `PostgresLimits.connectSeconds` a host.
    ///
    /// - Parameters:
    ///   - statementTime: the longest that a statement may take on the server.
    ///   - silence: how much longer its answer is waited for.
    init(_ address: PostgresAddress, statementTime: Duration, silence: Duration) throws(StoreError) {
        self.address = address
        self.statementTime = statementTime
        self.silenceLimit = statementTime + silence
        self.handle = Self.connect(address)
        guard let handle: OpaquePointer = self.handle else { throw .unavailable(reason: "out of memory") }
        guard PQstatus(handle) == CONNECTION_OK else {
            let reason: String = PostgresFailure.line(PQerrorMessage(handle))
            self.close()
            throw .unavailable(reason: "no connection to PostgreSQL \(address.shown): \(reason)")
        }
        // Notices ("table does not exist, skipping") are for people at a terminal. libpq tells them while this object calls it.
        let receiver: PQnoticeReceiver = { context, result in
            guard let context, let result else { return }
            Unmanaged<PostgresConnection>.fromOpaque(context).takeUnretainedValue().received(notice: result)
        }
        PQsetNoticeReceiver(handle, receiver, Unmanaged.passUnretained(self).toOpaque())
        PQsetnonblocking(handle, 1)
    }

    deinit { self.close() }

    private func received(notice: OpaquePointer) {
        guard self.isCommitting, PostgresFailure.field(notice, CPOSTGRES_DIAG_SEVERITY_NONLOCALIZED) == "WARNING" else {
            return
        }
        self.commitWarning = PostgresFailure.field(notice, CPOSTGRES_DIAG_MESSAGE) ?? "a warning"
    }

    func close() {
        PQfinish(self.handle)
        self.handle = nil
        self.statements.removeAll()
        self.commands.removeAll()
    }

    private static func connect(_ address: PostgresAddress) -> OpaquePointer? {
        var texts: [UnsafeMutablePointer<CChar>?] = []
        var keywords: [UnsafePointer<CChar>?] = []
        var values: [UnsafePointer<CChar>?] = []
        for parameter: (keyword: String, value: String) in address.parameters {
            let keyword: UnsafeMutablePointer<CChar>? = strdup(parameter.keyword)
            let value: UnsafeMutablePointer<CChar>? = strdup(parameter.value)
            texts += [keyword, value]
            keywords.append(keyword.map { UnsafePointer($0) })
            values.append(value.map { UnsafePointer($0) })
        }
        keywords.append(nil)
        values.append(nil)
        defer { for text: UnsafeMutablePointer<CChar>? in texts { free(text) } }
        return PQconnectdbParams(keywords, values, 1)
    }

    // MARK: - What the server is

    /// Such as 150018.
    var serverVersion: Int32 { PQserverVersion(self.handle) }

    /// A setting the server tells by itself, such as `server_encoding`.
    func setting(_ name: String) -> String { PQparameterStatus(self.handle, name).map { String(cString: $0) } ?? "" }

    /// Whether the bytes on the way are encrypted, or never leave the machine.
    var isPrivate: Bool {
        if PQsslInUse(self.handle) == 1 { return true }
        let host: String = PQhost(self.handle).map { String(cString: $0) } ?? ""
        return host.hasPrefix("/") || host == "localhost" || host.hasPrefix("127.") || host == "::1"
    }

    /// Whether it can be used for another transaction.
    var isUsable: Bool { self.handle != nil && PQstatus(self.handle) == CONNECTION_OK }

    // MARK: - Transactions

    /// From now on statements given by text may only read and change rows: the store alone begins and ends transactions.
    ///
    /// - Parameter toReading: a change is then the caller's mistake and says nothing about the server.
    func restrict(toReading: Bool) {
        self.isReader = toReading
        self.statements.removeAll()
        self.isRestricted = true
    }

    /// The next statement begins a transaction with these commands.
    func begin(_ commands: [String]) {
        self.opening = commands
        self.trouble = nil
        self.wasUsedAfterTrouble = false
        self.isCommitting = false
        self.commitWarning = nil
    }

    /// Commits; throws the reason when nothing was committed. A transaction without statements needs no server.
    func commit() throws(StoreError) {
        guard self.opening.isEmpty else { return self.opening.removeAll() }
        let result: PostgresResult = try self.send("COMMIT") { handle in
            let isSent: Int32 = PQsendQuery(handle, "COMMIT")
            self.isCommitting = isSent == 1
            return isSent
        }
        defer { result.end() }
        // COMMIT of a transaction that a statement has ended is a ROLLBACK, and no error.
        guard let tag: UnsafeMutablePointer<CChar> = PQcmdStatus(result.handle), String(cString: tag) == "COMMIT" else {
            throw .misuse("the transaction had ended before its commit")
        }
        // As with a connection that was lost: it is there, or not, when the server has failed.
        if let warning: String = self.commitWarning { throw self.note(PostgresFailure(lost: warning)) }
    }

    /// Undoes the open transaction, if there is one. Failing, it ends the connection, which undoes it too.
    func rollBack() {
        self.opening.removeAll()
        guard self.isUsable, PQtransactionStatus(self.handle) != PQTRANS_IDLE else { return }
        self.trouble = nil
        if (try? self.command("ROLLBACK")) == nil { self.close() }
    }

    /// Runs a command or several, without parameters, outside of the transaction's bookkeeping.
    func command(_ sql: String) throws(StoreError) {
        try self.send(sql) { handle in PQsendQuery(handle, sql) }.end()
    }

    // MARK: - Notifications

    /// What to poll for input while nothing is asked.
    var socket: Int32 { PQsocket(self.handle) }

    /// The notifications that have arrived, without those that this connection sent itself.
    func takeNotifications() throws(StoreError) -> [String] {
        guard let handle: OpaquePointer = self.handle, PQconsumeInput(handle) == 1 else { throw self.lost() }
        var found: [String] = []
        while let notification: UnsafeMutablePointer<PGnotify> = PQnotifies(handle) {
            if notification.pointee.be_pid != PQbackendPID(handle) {
                found.append(notification.pointee.extra.map { String(cString: $0) } ?? "")
            }
            PQfreemem(notification)
        }
        return found
    }

    // MARK: - Statements

    /// Runs a statement to its end and returns how many rows it changed.
    func execute(_ sql: String, _ parameters: [SQLValue] = []) throws(StoreError) -> Int {
        let result: PostgresResult = try self.run(sql, parameters)
        defer { result.end() }
        return PQcmdTuples(result.handle).flatMap { Int(String(cString: $0)) } ?? 0
    }

    /// Runs a statement and shows its rows, until `body` returns false. All rows are fetched first.
    func visit(
        _ sql: String, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        let result: PostgresResult = try self.run(sql, parameters)
        defer { result.end() }
        for row: Int32 in 0..<PQntuples(result.handle) {
            result.current = row
            guard try body(Row(.postgresql(PostgresRow(result: result, row: row)))) else { return }
        }
    }

    private func run(_ sql: String, _ parameters: [SQLValue]) throws(StoreError) -> PostgresResult {
        if let trouble: PostgresFailure = self.trouble {
            self.wasUsedAfterTrouble = true
            throw trouble.error
        }
        let statement: PostgresStatement = try self.statement(sql)
        if !statement.isQuery { self.changes += 1 }
        guard parameters.count == statement.parameterCount else {
            throw .misuse("\(parameters.count) values for \(statement.parameterCount) parameters in: \(sql)")
        }
        guard self.savesEachStatement else { return try self.run(statement, parameters) }
        if self.opening.isEmpty {
            try self.command("SAVEPOINT statement")
        } else {
            try self.open(with: "SAVEPOINT statement")
        }
        do throws(StoreError) {
            let result: PostgresResult = try self.run(statement, parameters)
            try self.command("RELEASE statement")
            return result
        } catch {
            if let trouble: PostgresFailure = self.trouble, case .statement = trouble.kind {
                self.trouble = nil
                try self.command("ROLLBACK TO statement; RELEASE statement")
            }
            throw error
        }
    }

    private func run(_ statement: PostgresStatement, _ parameters: [SQLValue]) throws(StoreError) -> PostgresResult {
        let variant: PostgresStatement.Variant =
            if let known: PostgresStatement.Variant = statement.variant(for: parameters) {
                known
            } else {
                try self.prepare(statement, parameters)
            }
        let values: PostgresValues = PostgresValues(parameters)
        if self.opening.isEmpty {
            return try self.send(statement.sql) { handle in values.send(handle, variant.name) }
        }
        return try self.open(statement.sql) { handle in values.send(handle, variant.name) }
    }

    private func statement(_ sql: String) throws(StoreError) -> PostgresStatement {
        if let known: PostgresStatement = self.statements[sql] { return known }
        if self.isRestricted { try SQLText.checkIsData(sql) }
        let fresh: PostgresStatement = try PostgresStatement(sql)
        if self.statements.count >= PostgresLimits.statementsMax {
            self.statements.removeAll()
            self.commands.removeAll()
            try self.command("DEALLOCATE ALL")
        }
        self.statements[sql] = fresh
        return fresh
    }

    private func prepare(
        _ statement: PostgresStatement, _ parameters: [SQLValue]
    ) throws(StoreError) -> PostgresStatement.Variant {
        var types: [UInt32] = parameters.map { $0.postgresType }
        let name: String = self.nextName()
        try self.send(statement.sql) { handle in
            PQsendPrepare(handle, name, statement.sql, Int32(types.count), types)
        }.end()
        if types.contains(0) {
            let described: PostgresResult = try self.send(statement.sql) { handle in
                PQsendDescribePrepared(handle, name)
            }
            defer { described.end() }
            for index: Int in types.indices { types[index] = PQparamtype(described.handle, Int32(index)) }
        }
        let variant: PostgresStatement.Variant = PostgresStatement.Variant(name: name, types: types)
        statement.add(variant)
        return variant
    }

    private func nextName() -> String {
        self.lastName += 1
        return "s\(self.lastName)"
    }

    // MARK: - The transaction's first round trip

    /// Sends what begins the transaction and, behind it, its first statement, and waits for all of it.
    private func open(
        _ sql: String, _ sendFirst: (OpaquePointer) -> Int32
    ) throws(StoreError) -> PostgresResult {
        var names: [String] = []
        for command: String in self.opening { names.append(try self.prepared(command)) }
        self.opening.removeAll()
        guard let handle: OpaquePointer = self.handle, PQenterPipelineMode(handle) == 1 else { throw self.lost() }
        var isSent: Bool = true
        for name: String in names { isSent = isSent && PQsendQueryPrepared(handle, name, 0, nil, nil, nil, 1) == 1 }
        isSent = isSent && sendFirst(handle) == 1 && PQpipelineSync(handle) == 1
        guard isSent else { throw self.lost() }
        try self.flush(handle)
        var failure: PostgresFailure?
        var last: PostgresResult?
        for _ in 0...names.count {
            last = nil
            while let result: OpaquePointer = try self.nextResult(handle) {
                let found: PostgresResult = PostgresResult(result, sql: sql)
                if failure == nil { failure = PostgresFailure(result, sql: sql, timeLimit: self.statementTime) }
                last = found
            }
        }
        // The sync's own answer, after which the connection takes single statements again.
        let sync: OpaquePointer? = try self.nextResult(handle)
        PQclear(sync)
        if failure?.kind == .lost || PQexitPipelineMode(handle) != 1 {
            throw self.note(failure ?? self.lostFailure())
        }
        if let failure { throw self.note(failure) }
        guard let last else { throw self.lost() }
        return last
    }

    private func open(with command: String) throws(StoreError) {
        let name: String = try self.prepared(command)
        try self.open(command) { handle in PQsendQueryPrepared(handle, name, 0, nil, nil, nil, 1) }.end()
    }

    /// The name a command without parameters is prepared under.
    private func prepared(_ command: String) throws(StoreError) -> String {
        if let known: String = self.commands[command] { return known }
        let name: String = self.nextName()
        try self.send(command) { handle in PQsendPrepare(handle, name, command, 0, nil) }.end()
        self.commands[command] = name
        return name
    }

    // MARK: - Sending and waiting

    /// Sends one thing and waits for its answer. Throws what the server refuses, and takes note of it.
    private func send(_ sql: String, _ start: (OpaquePointer) -> Int32) throws(StoreError) -> PostgresResult {
        guard let handle: OpaquePointer = self.handle, start(handle) == 1 else { throw self.lost() }
        try self.flush(handle)
        var failure: PostgresFailure?
        var last: PostgresResult?
        while let result: OpaquePointer = try self.nextResult(handle) {
            last = PostgresResult(result, sql: sql)
            if failure == nil { failure = PostgresFailure(result, sql: sql, timeLimit: self.statementTime) }
        }
        if let failure { throw self.note(failure) }
        guard let last else { throw self.lost() }
        return last
    }

    private func note(_ found: PostgresFailure) -> StoreError {
        var failure: PostgresFailure = found
        if self.isReader, failure.code == PostgresFailure.readOnlyCode {
            failure = failure.asMisuse("a reader cannot write")
        }
        if self.trouble == nil { self.trouble = failure }
        if case .lost = failure.kind { self.close() }
        return failure.error
    }

    private func lost() -> StoreError { self.note(self.lostFailure()) }

    private func lostFailure() -> PostgresFailure {
        let reason: String =
            self.handle == nil ? "it was closed" : PostgresFailure.line(PQerrorMessage(self.handle))
        return PostgresFailure(lost: "the connection to PostgreSQL was lost (\(reason))")
    }

    private func flush(_ handle: OpaquePointer) throws(StoreError) {
        let end: UInt64 = self.silenceEnd()
        while true {
            switch PQflush(handle) {
            case 0: return
            case 1:
                // The server may have to send before it can take more.
                try self.wait(handle, Int16(POLLIN | POLLOUT), until: end)
                guard PQconsumeInput(handle) == 1 else { throw self.lost() }
            default: throw self.lost()
            }
        }
    }

    /// The next result of what was sent; nil at its end.
    private func nextResult(_ handle: OpaquePointer) throws(StoreError) -> OpaquePointer? {
        let end: UInt64 = self.silenceEnd()
        while PQisBusy(handle) == 1 {
            try self.wait(handle, Int16(POLLIN), until: end)
            guard PQconsumeInput(handle) == 1 else { throw self.lost() }
        }
        return PQgetResult(handle)
    }

    private func silenceEnd() -> UInt64 {
        clinux_monotonic_nanoseconds() + UInt64(clamping: self.silenceLimit.nanosecondsClamped)
    }

    private func wait(_ handle: OpaquePointer, _ events: Int16, until end: UInt64) throws(StoreError) {
        var descriptor: pollfd = pollfd(fd: PQsocket(handle), events: events, revents: 0)
        while true {
            let now: UInt64 = clinux_monotonic_nanoseconds()
            guard now < end else {
                throw self.note(
                    PostgresFailure(lost: "PostgreSQL \(self.address.shown) has not answered for \(self.silenceLimit)")
                )
            }
            let found: Int32 = poll(&descriptor, 1, Int32(clamping: (end - now) / 1_000_000 + 1))
            if found > 0 { return }
            if found < 0, errno != EINTR { throw self.lost() }
        }
    }
}

/// The values of a statement as libpq takes them: one buffer with all bytes, and where each begins.
struct PostgresValues {
    private var bytes: [UInt8] = []
    /// Where each value begins; nil for NULL.
    private var starts: [Int?] = []
    private var lengths: [Int32] = []

    init(_ values: [SQLValue]) {
        for value: SQLValue in values { self.append(value) }
        // So that an empty value at the end has an address, too.
        self.bytes.append(0)
    }

    private mutating func append(_ value: SQLValue) {
        let start: Int = self.bytes.count
        switch value {
        case .null: break
        case .int(let number): withUnsafeBytes(of: number.bigEndian) { self.bytes.append(contentsOf: $0) }
        case .double(let number):
            withUnsafeBytes(of: number.bitPattern.bigEndian) { self.bytes.append(contentsOf: $0) }
        case .text(let text): self.bytes.append(contentsOf: text.utf8)
        case .bytes(let bytes): self.bytes.append(contentsOf: bytes)
        }
        self.starts.append(value == .null ? nil : start)
        self.lengths.append(Int32(clamping: self.bytes.count - start))
    }

    /// Sends the prepared statement with these values; 1 when libpq took it.
    func send(_ handle: OpaquePointer, _ name: String) -> Int32 {
        let count: Int = self.starts.count
        return self.bytes.withUnsafeBytes { buffer in
            let base: UnsafePointer<CChar>? = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
            var pointers: [UnsafePointer<CChar>?] = []
            pointers.reserveCapacity(count)
            for start: Int? in self.starts { pointers.append(start.flatMap { offset in base.map { $0 + offset } }) }
            let formats: [Int32] = [Int32](repeating: 1, count: count)
            return PQsendQueryPrepared(handle, name, Int32(count), pointers, self.lengths, formats, 1)
        }
    }
}
