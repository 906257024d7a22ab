import EventLog
import Files
import KeyRing
import Store
package import Time

/// Backs up a data folder: which of its files a backup has, and which not.
///
/// In it are the database (`passerelle.db`: all state and the log) and the traffic roll-ups (`telemetry/passerelle.db`: a month of
/// who used what, which nothing else holds). Each is one moment, the second a little later than the first. Not in it: the
/// master key, ever; `gateway.token` and `demo.json`, which hold credentials in clear and are made anew; `gateway/`, which a
/// gateway fetches again.
package enum FolderBackup {
    static let names: [String] = ["passerelle.db", "telemetry/passerelle.db"]
    /// The log whose length a backup notes.
    private static let auditTopic: String = "audit-log"

    /// Makes a backup. Blocks for as long as it takes.
    ///
    /// - Parameter isRunning: whether the stores of the folder are open in this process; otherwise no process may work there.
    package static func run(
        _ folder: String, isRunning: Bool, to repository: BackupRepository, version: String, now: Timestamp,
        isFull: Bool = false, progress: (_ done: Int64, _ of: Int64) throws -> Void = { _, _ in }
    ) throws -> BackupDescription {
        try BackupRepository.wrapping {
            let first: DatabasePicture = try Self.picture(Self.names[0], in: folder, isRunning)
            defer { first.end() }
            let audit: Int64 = try StoredLog.offsets(topic: Self.auditTopic, partition: 0, in: first).upperBound
            var sources: [BackupWriter.Source] = [
                BackupWriter.Source(name: Self.names[0], bytes: first.length, take: { first })
            ]
            for name in Self.names.dropFirst() {
                guard let bytes: Int64 = Folders.length(of: "\(folder)/\(name)") else { continue }
                sources.append(
                    BackupWriter.Source(
                        name: name, bytes: bytes, take: { try Self.picture(name, in: folder, isRunning) }))
            }
            let masterKey: String?
            do {
                masterKey = try MasterKeyFile.fingerprint(inFolder: folder)
            } catch let error as KeyRingError {
                throw BackupError.masterKey("\(error)")
            }
            return try BackupWriter.write(
                sources, to: repository, masterKey: masterKey, auditEntries: audit, version: version, now: now,
                isFull: isFull, progress: progress)
        }
    }

    private static func picture(_ name: String, in folder: String, _ isRunning: Bool) throws -> DatabasePicture {
        let place: String = Folders.parent(of: "\(folder)/\(name)")
        return isRunning
            ? try DatabasePicture(ofOpenStoreIn: place) : try DatabasePicture(ofStoppedStoreIn: place)
    }
}
