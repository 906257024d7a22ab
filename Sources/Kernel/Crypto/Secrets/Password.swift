import CArgon2

/// Password hashes: argon2id (RFC 9106) in PHC strings, `$argon2id$v=19$m=65536,t=3,p=1$salt$hash`.
///
/// Hashing and verifying take 64 MiB of memory and about 150 ms of CPU on the calling thread: callers run them on a small pool
/// with a bounded queue, never on a loop.
package enum Password {
    /// Longest password taken, in UTF-8 bytes.
    package static let bytesMax: Int = 1024

    /// Some hash of the usual cost that belongs to no password. Verifying against it when there is no such user takes as long
    /// as for a user who exists, so that the time does not tell which users do.
    package static let dummy: String =
        "$argon2id$v=19$m=65536,t=3,p=1$kGN0vpP1xBBLVJkE5mC0Mw$W9oQ1UO0tIl5yPsgU1Vb4cQZp0j3v8m2nQ3kqkq0o2A"

    /// A fresh hash with a random salt. Throws when the password is longer than `bytesMax` or memory is out.
    package static func hash(_ password: String) throws(CryptoError) -> String {
        guard password.utf8.count <= Password.bytesMax else {
            throw .unsupported("a password has at most \(Password.bytesMax) bytes")
        }
        var hash = PasswordHash.standard(salt: Random.bytes(PasswordHash.saltLength))
        hash.output = try hash.compute(password)
        return hash.text
    }

    /// Whether `password` is the one `text` was made from, at the cost `text` itself states (within bounds).
    ///
    /// Throws when `text` is no acceptable hash, or memory is out: that is not the fault of who types the password.
    package static func verify(_ password: String, against text: String) throws(CryptoError) -> Bool {
        guard let hash = PasswordHash(text: text) else {
            throw .malformed("the stored password hash is not an argon2id hash within the accepted limits")
        }
        guard password.utf8.count <= Password.bytesMax else { return false }
        return ConstantTime.equals(try hash.compute(password), hash.output)
    }

    /// Whether `text` is a hash that `verify` takes.
    package static func isHash(_ text: String) -> Bool { PasswordHash(text: text) != nil }

    /// Whether `text` was made with other parameters than today's: then hash anew after the next successful login.
    package static func isOutdated(_ text: String) -> Bool {
        guard let hash = PasswordHash(text: text) else { return true }
        return !hash.hasStandardCost
    }
}

/// The parts of a PHC string.
struct PasswordHash: Equatable {
    static let saltLength: Int = 16
    private static let outputLength: Int = 32
    private static let memoryStandard: UInt32 = 65_536
    private static let passesStandard: UInt32 = 3
    private static let lanesStandard: UInt32 = 1

    // What a stored hash may ask for: a planted one must not be able to stop the machine.
    private static let memoryMax: UInt32 = 262_144
    private static let passesMax: UInt32 = 16
    private static let lanesMax: UInt32 = 4
    private static let textBytesMax: Int = 256

    /// KiB.
    private var memory: UInt32
    private var passes: UInt32
    private var lanes: UInt32
    private var salt: [UInt8]
    var output: [UInt8]

    static func standard(salt: [UInt8]) -> PasswordHash {
        PasswordHash(
            memory: memoryStandard, passes: passesStandard, lanes: lanesStandard, salt: salt,
            output: [UInt8](repeating: 0, count: outputLength))
    }

    private init(memory: UInt32, passes: UInt32, lanes: UInt32, salt: [UInt8], output: [UInt8]) {
        self.memory = memory
        self.passes = passes
        self.lanes = lanes
        self.salt = salt
        self.output = output
    }

    var hasStandardCost: Bool {
        self.memory == PasswordHash.memoryStandard && self.passes == PasswordHash.passesStandard
            && self.lanes == PasswordHash.lanesStandard && self.output.count == PasswordHash.outputLength
    }

    var text: String {
        "$argon2id$v=19$m=\(self.memory),t=\(self.passes),p=\(self.lanes)$"
            + "\(PHCBase64.encode(self.salt))$\(PHCBase64.encode(self.output))"
    }

    /// Reads the exact form `text` writes, with parameters within the limits; nil otherwise.
    init?(text: String) {
        guard text.utf8.count <= PasswordHash.textBytesMax else { return nil }
        let parts: [Substring] = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0].isEmpty, parts[1] == "argon2id", parts[2] == "v=19" else { return nil }
        let costs: [Substring] = parts[3].split(separator: ",", omittingEmptySubsequences: false)
        guard costs.count == 3,
            let memory: UInt32 = PasswordHash.number(costs[0], "m=", max: PasswordHash.memoryMax),
            let passes: UInt32 = PasswordHash.number(costs[1], "t=", max: PasswordHash.passesMax),
            let lanes: UInt32 = PasswordHash.number(costs[2], "p=", max: PasswordHash.lanesMax),
            memory >= 8 * lanes,
            let salt: [UInt8] = PHCBase64.decode(parts[4]), (8...48).contains(salt.count),
            let output: [UInt8] = PHCBase64.decode(parts[5]), (16...64).contains(output.count)
        else { return nil }
        self.init(memory: memory, passes: passes, lanes: lanes, salt: salt, output: output)
    }

    /// The hash of `password` with these parameters, as long as `output`.
    func compute(_ password: String) throws(CryptoError) -> [UInt8] {
        var computed: [UInt8] = [UInt8](repeating: 0, count: self.output.count)
        let bytes: [UInt8] = Array(password.utf8)
        let result: Int32 = argon2id_hash_raw(
            self.passes, self.memory, self.lanes, bytes, bytes.count, self.salt, self.salt.count, &computed,
            computed.count)
        guard result == ARGON2_OK.rawValue else {
            throw .failed(operation: "password hashing", reason: String(cString: argon2_error_message(result)))
        }
        return computed
    }

    private static func number(_ text: Substring, _ name: String, max: UInt32) -> UInt32? {
        guard text.hasPrefix(name), let value = UInt32(text.dropFirst(name.count)), (1...max).contains(value),
            text == name + String(value)
        else { return nil }
        return value
    }
}
