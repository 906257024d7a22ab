import Glibc

/// The data folder on disk. Only its owner may enter it.
///
/// ```
/// <data>/                      mode 0700
///   passerelle.lock            held with flock while a process works here; holds its process id as text
///   passerelle.db              the database, mode 0600; WAL and shared memory files beside it inherit the mode
///   passerelle.db-wal          commits not yet copied into the database; part of it: never delete or leave out of a copy
///   passerelle.db-shm          index of the WAL, rebuilt at need
/// ```
/// Crash cases: a torn or missing end of the WAL is found by its checksums and is by construction an unacknowledged
/// commit; the lock dies with its process.
struct DataFolder: Sendable {
    let path: String

    var databasePath: String { self.path + "/passerelle.db" }
    var lockPath: String { self.path + "/passerelle.lock" }

    /// Makes the folder (and missing parents) if need be.
    func create() throws(StoreError) {
        var made: String = self.path.utf8.first == 47 ? "" : "."
        for part: Substring in self.path.split(separator: "/") {
            let parent: String = made.isEmpty ? "/" : made
            made += "/" + part
            if mkdir(made, 0o700) == 0 {
                try Self.sync(folder: parent)
            } else if errno != EEXIST && errno != EROFS {
                throw Self.notWritable(made, errno)
            }
        }
        var status: stat = stat()
        guard stat(self.path, &status) == 0 else { throw Self.notWritable(self.path, errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw Self.notWritable(self.path, ENOTDIR) }
    }

    /// Makes an empty database file with our mode, so that SQLite does not choose one, and makes its name durable.
    func createDatabaseFile() throws(StoreError) {
        let file: Int32 = open(self.databasePath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.notWritable(self.databasePath, errno) }
        close(file)
        try Self.sync(folder: self.path)
    }

    static func notWritable(_ path: String, _ code: Int32) -> StoreError {
        .notWritable(path: path, reason: SQLiteResult.name(code))
    }

    /// Makes names created in a folder durable.
    private static func sync(folder: String) throws(StoreError) {
        let handle: Int32 = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        // A parent that we may write but not read cannot be synced; the file system does it in its own time.
        guard handle >= 0 else { return }
        defer { close(handle) }
        while fsync(handle) != 0 {
            // EINVAL: a file system without syncs of folders.
            if errno == EINVAL { return }
            guard errno == EINTR else { throw Self.notWritable(folder, errno) }
        }
    }
}
