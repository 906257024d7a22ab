package import Files
package import Store

/// Why a backup was not made, found good or restored: what, where, and what to do.
package enum BackupError: Error, Sendable, CustomStringConvertible {
    /// There is no repository at this path.
    case noRepository(String)
    /// The repository, or a backup in it, was written by a newer version.
    case newerFormat(path: String, format: Int64)
    /// The passphrase or key does not open the repository.
    case wrongSecret(String)
    /// The passphrase or key cannot be used.
    case unusableSecret(String)
    /// Something in the repository is not as it was written. Names the first bad piece.
    case damaged(path: String, what: String)
    /// There is no such backup.
    case unknownBackup(String, repository: String)
    /// Another process works in the repository.
    case inUse(String)
    /// The folder to restore into holds something.
    case targetNotEmpty(String)
    /// The master key given is not the one the data was sealed with.
    case otherMasterKey(expected: String, found: String)
    /// What was written fails the database's own check.
    case badDatabase(name: String, reason: String)
    /// The master key of the data folder cannot be read.
    case masterKey(String)
    case file(FileError)
    case store(StoreError)

    package var description: String {
        switch self {
        case .noRepository(let path):
            "\(path) holds no backups: there is no \(BackupFormat.configurationFile) in it. Check --from; 'passerelle backup --to' makes one."
        case .newerFormat(let path, let format):
            "\(path) has format \(format); this version reads format \(BackupFormat.number). Use the version that wrote it, or a newer one."
        case .wrongSecret(let path):
            "The passphrase or key does not open \(path). It must be the one its first backup was made with."
        case .unusableSecret(let problem): "The passphrase or key \(problem)."
        case .damaged(let path, let what):
            "\(path) is damaged: \(what). Other backups may be whole: 'passerelle backup verify --all'; make a new one with --full."
        case .unknownBackup(let id, let repository):
            "There is no backup '\(id)' in \(repository). 'passerelle backup list --from \(repository)' shows them."
        case .inUse(let path): "Another process works in \(path). Wait until it has ended."
        case .targetNotEmpty(let path):
            "\(path) is not empty. Restore into a folder that does not exist yet or is empty, then serve that."
        case .otherMasterKey(let expected, let found):
            "The master key has the fingerprint \(found), and the backup's data was sealed with \(expected). Give the key of that installation."
        case .badDatabase(let name, let reason):
            "\(name) was copied as it was, and SQLite finds it damaged: \(reason). Restore an earlier backup."
        case .masterKey(let problem): problem
        case .file(let error): "\(error)"
        case .store(let error): "\(error)"
        }
    }
}
