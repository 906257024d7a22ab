import Glibc

/// Reads pieces of packs. Keeps the packs open that it has read from.
final class PackReader {
    private let repository: BackupRepository
    private var descriptors: [String: Int32] = [:]

    init(_ repository: BackupRepository) { self.repository = repository }

    deinit { for descriptor in self.descriptors.values { close(descriptor) } }

    /// The plain bytes of a piece. - Throws: `BackupError.damaged` that says which piece, where, and of what.
    func read(_ place: BackupContents.Place, pack: String, of what: @autoclosure () -> String) throws -> [UInt8] {
        let path: String = self.repository.packPath(pack)
        func bad(_ problem: String) -> BackupError {
            .damaged(path: path, what: "the piece at byte \(place.offset), which holds \(what()), \(problem)")
        }
        let descriptor: Int32 = self.descriptors[pack] ?? open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw bad("cannot be read: \(String(cString: strerror(errno)))") }
        self.descriptors[pack] = descriptor
        var sealed: [UInt8] = [UInt8](repeating: 0, count: Int(place.length) + Sealing.overhead)
        var at: Int = 0
        while at < sealed.count {
            let wanted: Int = sealed.count - at
            let count: Int = sealed.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + at, wanted, off_t(place.offset) + off_t(at))
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw bad("cannot be read: \(String(cString: strerror(errno)))") }
            guard count > 0 else { throw bad("is missing: the file ends before it") }
            at += count
        }
        guard
            let plain: [UInt8] = Sealing.open(
                sealed, key: self.repository.keys.key(ofPack: pack),
                boundTo: Sealing.piece(pack: pack, offset: place.offset))
        else { throw bad("was changed: it does not open") }
        guard self.repository.keys.name(of: plain) == place.name else { throw bad("is another one than it should be") }
        return plain
    }
}
