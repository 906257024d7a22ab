import CPostgres
import Glibc
import Synchronization

/// A PostgreSQL of the tests' own: a fresh cluster in a temporary folder, on 127.0.0.1 and a free port, with the user `app`.
///
/// It runs under a shell that waits for the end of a pipe from this process, so it ends and its folder goes whatever becomes of
/// the tests. Nothing is synced: what survives a power cut is not tested with it. Root cannot run PostgreSQL; then the
/// account `postgres` does.
package final class PostgresServer: Sendable {
    /// The one of a test run, started when it is first needed. `Scripts/install-dependencies test` installs PostgreSQL.
    package static let shared: PostgresServer = PostgresServer()

    package let port: Int
    package let folder: String
    private let pipe: Int32
    private let names: Atomic<Int> = Atomic(0)
    /// Databases that were used and are as new, by what was asked for.
    private let spares: Mutex<[String: [String]]> = Mutex([:])

    /// Starts a server and waits until it answers; without PostgreSQL the test run ends with the reason.
    package init(settings: [String] = []) {
        // Kerberos, which libpq would try for every connection, takes its locks away when the process ends, and a connection that is
        // just being made or closed then would end it with a crash.
        setenv("PGGSSENCMODE", "disable", 1)
        self.port = Int(FreePort.next())
        var template: [CChar] = Array("/tmp/passerelle-pg-XXXXXX".utf8CString)
        let made: Bool = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) != nil }
        precondition(made, "cannot make a temporary folder: errno \(errno)")
        self.folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        var input: [Int32] = [0, 0]
        var output: [Int32] = [0, 0]
        precondition(pipe2Closing(&input) && pipe2Closing(&output))
        self.pipe = input[1]
        let script: String = Self.script(settings)
        Self.spawn(
            ["/bin/sh", "-c", script, "postgres", self.folder, "\(self.port)"], input: input[0], output: output[1])
        close(input[0])
        close(output[1])
        defer { close(output[0]) }
        let answer: String = Self.read(output[0])
        precondition(answer.hasPrefix("ready"), "PostgreSQL did not start: \(answer)")
    }

    deinit { close(self.pipe) }

    /// The address of a database, for `StoreConfiguration.url`.
    package func url(_ database: String, user: String = "app") -> String {
        "postgresql://\(user)@127.0.0.1:\(self.port)/\(database)"
    }

    /// Makes an empty database and returns its name.
    package func makeDatabase() -> String {
        let name: String = "test_\(getpid())_\(self.names.add(1, ordering: .relaxed).newValue)"
        self.run("CREATE DATABASE \(name) TEMPLATE template0")
        return name
    }

    package func dropDatabase(_ name: String) { self.run("DROP DATABASE IF EXISTS \(name) WITH (FORCE)") }

    // MARK: - Databases for many tests

    /// A database that `prepare`, given its URL, has brought into shape: one that was given back under this key, or a new one.
    ///
    /// Making a database and a hundred tables, or copying them, takes the better part of a second; making one as new some
    /// hundredths of one.
    package func takeDatabase(for key: String, prepare: (String) async throws -> Void) async throws -> String {
        if let spare: String = self.spares.withLock({ $0[key]?.popLast() }) { return spare }
        let name: String = self.makeDatabase()
        try await prepare(self.url(name))
        self.run(Self.keepRows, database: name)
        return name
    }

    /// Makes the database as it was when it was prepared. One that somebody is still connected to is dropped: it would change
    /// under the next test.
    package func giveBack(_ name: String, for key: String) {
        guard self.isLeft(name) else { return self.dropDatabase(name) }
        self.run(Self.restoreRows, database: name)
        self.spares.withLock { $0[key, default: []].append(name) }
    }

    /// Whether nobody is connected, or will not be soon: a connection that was closed lasts a moment longer on the server.
    private func isLeft(_ name: String) -> Bool {
        for _ in 0..<100 {
            if self.run("SELECT count(*) FROM pg_stat_activity WHERE datname = '\(name)'") == "0" { return true }
            usleep(5000)
        }
        return false
    }

    /// Puts what the tables hold aside, in another schema.
    private static let keepRows: String = """
        CREATE SCHEMA kept;
        DO $$ DECLARE name text; found bool; BEGIN
            FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO found;
                IF found THEN EXECUTE format('CREATE TABLE kept.%I AS TABLE public.%I', name, name); END IF;
            END LOOP;
        END $$
        """

    /// Makes the tables hold just that again. Deleting few rows is far quicker than truncating many tables.
    private static let restoreRows: String = """
        SET session_replication_role = replica;
        DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                EXECUTE format('DELETE FROM public.%I', name);
                IF to_regclass(format('kept.%I', name)) IS NOT NULL THEN
                    EXECUTE format('INSERT INTO public.%I SELECT * FROM kept.%I', name, name);
                END IF;
            END LOOP;
            PERFORM setval(format('public.%I', sequencename), 1, false) FROM pg_sequences WHERE schemaname = 'public';
        END $$
        """

    /// Runs SQL as the owner of everything; ends the test run when it fails. Returns the first value.
    @discardableResult
    package func run(_ sql: String, database: String = "postgres") -> String {
        let connection: OpaquePointer? = PQconnectdb(self.url(database))
        defer { PQfinish(connection) }
        PQsetNoticeReceiver(connection, { _, _ in }, nil)
        let result: OpaquePointer? = PQexec(connection, sql)
        defer { PQclear(result) }
        let status: ExecStatusType = PQresultStatus(result)
        precondition(
            status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK,
            "\(sql): \(String(cString: PQerrorMessage(connection)))")
        return PQntuples(result) > 0 ? String(cString: PQgetvalue(result, 0, 0)) : ""
    }

    /// `fast` ends all connections and stops; `immediate` is a crash.
    package func stop(_ mode: String = "fast") { self.control("stop -m \(mode) -w") }

    /// Starts it again where it was.
    package func start() { self.control("start -w -l \(self.folder)/log") }

    private func control(_ what: String) {
        let command: String = Self.prologue + "\n$as \"$bin/pg_ctl\" -D \(self.folder)/data \(what) >/dev/null 2>&1"
        let child: pid_t = Self.spawn(["/bin/sh", "-c", command], input: nil, output: nil)
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        precondition(status == 0, "pg_ctl \(what) failed: see \(self.folder)/log")
    }

    // MARK: - The processes

    private static let prologue: String = """
        bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
        [ -n "$bin" ] || bin=$(pg_config --bindir 2>/dev/null)
        as=; [ "$(id -u)" -eq 0 ] && as='runuser -u postgres --'
        cd /
        """

    private static func script(_ settings: [String]) -> String {
        """
        \(self.prologue)
        folder=$1; port=$2
        [ -x "$bin/initdb" ] || { echo 'it is not installed: run Scripts/install-dependencies test'; rmdir "$folder"; exit 1; }
        [ -z "$as" ] || chown postgres "$folder"
        $as "$bin/initdb" -D "$folder/data" -U app --auth=trust --no-sync -E UTF8 --no-locale >"$folder/initdb" 2>&1 || {
            tail -3 "$folder/initdb"; rm -rf "$folder"; exit 1; }
        # A role that has to show a password; the others are trusted.
        sed -i '1i host all secret 127.0.0.1/32 scram-sha-256' "$folder/data/pg_hba.conf"
        cat >>"$folder/data/postgresql.conf" <<EOF
        listen_addresses = '127.0.0.1'
        port = $port
        unix_socket_directories = '$folder'
        max_connections = 500
        shared_buffers = 32MB
        fsync = off
        full_page_writes = off
        \(settings.joined(separator: "\n"))
        EOF
        $as "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 start >/dev/null 2>&1 || {
            tail -3 "$folder/log"; rm -rf "$folder"; exit 1; }
        echo ready
        exec >/dev/null
        cat >/dev/null
        $as "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1
        rm -rf "$folder"
        """
    }

    /// Starts a child that is out of reach of the terminal's signals.
    @discardableResult
    private static func spawn(_ words: [String], input: Int32?, output: Int32?) -> pid_t {
        var actions: posix_spawn_file_actions_t = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input { posix_spawn_file_actions_adddup2(&actions, input, 0) }
        if let output { posix_spawn_file_actions_adddup2(&actions, output, 1) }
        var attributes: posix_spawnattr_t = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        posix_spawnattr_setpgroup(&attributes, 0)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var child: pid_t = 0
        let result: Int32 = posix_spawn(&child, words[0], &actions, &attributes, arguments, environ)
        precondition(result == 0, "cannot start \(words[0]): errno \(result)")
        return child
    }

    private static func read(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: 1024)
        let count: Int = Glibc.read(descriptor, &bytes, bytes.count)
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }
}

/// A pipe whose ends no other child inherits.
private func pipe2Closing(_ ends: inout [Int32]) -> Bool {
    guard Glibc.pipe(&ends) == 0 else { return false }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return true
}
