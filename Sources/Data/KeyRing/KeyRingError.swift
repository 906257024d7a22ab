/// Why a secret stays closed.
package enum KeyRingError: Error, Sendable, Equatable, CustomStringConvertible {
    case notAKey(path: String, bytes: Int)
    case cannotOpen(name: String)
    /// The data was restored and its master key is not there.
    case missing(path: String, needed: String)
    /// The data was restored and the master key there is another one.
    case otherKey(path: String, needed: String, found: String)
    /// What the database's keys are wrapped with is not the master key that was given.
    case otherMaster(needed: String, found: String)
    /// The keys are not in memory: nothing opens and nothing is sealed until the ring is unsealed.
    case sealed(reason: String)
    /// Who keeps the master key does not answer, or is sealed itself: worth another try.
    case masterAway(reason: String)
    /// Who keeps the master key refuses: another try changes nothing.
    case masterRefused(reason: String)
    /// This kind of master key is not rotated from here; the text says how it is.
    case cannotRotate(how: String)

    package var description: String {
        switch self {
        case .notAKey(let path, let bytes):
            "\(path) has \(bytes) bytes; a master key has 32. Restore the key the data was written with."
        case .missing(let path, let needed):
            "\(path) is missing. This data was restored, and its secrets are sealed with the master key of fingerprint \(needed), which no backup holds: copy that installation's master.key there (mode 0600)."
        case .otherKey(let path, let needed, let found):
            "\(path) is another key (fingerprint \(found)) than the one this restored data is sealed with (\(needed)). Put that one there."
        case .otherMaster(let needed, let found):
            "The keys of this database are wrapped with the master key \(needed), and the one that was given is \(found). Give that one, or name it as keys.old_url to move from it to the new one."
        case .cannotOpen(let name):
            "'\(name)' does not open with this key ring: the master key belongs to other data, the value was changed, or its key was destroyed."
        case .sealed(let reason): "The key ring is sealed: \(reason)."
        case .masterAway(let reason): "The master key cannot be reached: \(reason)."
        case .masterRefused(let reason): "The master key is refused: \(reason)."
        case .cannotRotate(let how): how
        }
    }
}
