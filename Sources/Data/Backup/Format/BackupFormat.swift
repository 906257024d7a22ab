/// How backups lie on a disk. docs/reference/backup.md describes it for other programs.
///
/// ```
/// <repository>/
///   passerelle-backup.json    readable: format, the repository's id, how the passphrase becomes a key, the sealed repository key
///   lock                      held with flock while something is written here
///   packs/<backup>.pack       the pieces a backup added: "PASSPCK1", then sealed pieces one after the other
///   backups/<backup>.backup   "PASSBKP1", then one sealed message: what the backup consists of
///   erasures/<entry>.erasure  "PASSERA1", then one sealed message: whom a restore must not bring back
/// ```
/// A *piece* is 64 KiB of a database file (16 pages), less at the end. Its name is an HMAC of its bytes under a key of the
/// repository: a piece that is there already is not written again, and a name tells nothing to who has no key. Each pack and
/// each backup has its own key, derived from the repository key and its id. A sealed piece is bound to its pack and its place
/// there, so pieces cannot be exchanged.
///
/// Crash cases: a pack and then a backup are written under another name, synced, renamed, and their folder synced; a backup is
/// there when its file in `backups/` is. What a killed one left behind is `*.partial` or a pack that nothing names, and
/// goes with the next backup or `backup prune`.
enum BackupFormat {
    static let number: Int64 = 1
    static let configurationFile: String = "passerelle-backup.json"
    static let lockFile: String = "lock"
    static let packFolder: String = "packs"
    static let backupFolder: String = "backups"
    static let packExtension: String = ".pack"
    static let backupExtension: String = ".backup"
    static let partialExtension: String = ".partial"
    static let packMagic: [UInt8] = Array("PASSPCK1".utf8)
    static let backupMagic: [UInt8] = Array("PASSBKP1".utf8)
    /// Plain bytes of a piece.
    static let pieceBytes: Int = 64 << 10
    /// Largest configuration and backup file read, bytes. The second describes some terabytes.
    static let configurationBytesMax: Int = 64 << 10
    static let backupBytesMax: Int = 1 << 30
    /// Shortest passphrase or key taken, bytes.
    package static let secretBytesMin: Int = 12
    package static let secretBytesMax: Int = 4_096
}
