import Bytes
import Crypto
import Time

/// Time-based one-time passwords (RFC 6238): six digits that change every 30 seconds, as authenticator apps show them.
enum OneTimePassword {
    static let secretBytes: Int = 20
    static let stepSeconds: Int64 = 30
    /// How many steps a clock may be off to either side.
    static let stepsAround: Int64 = 1

    static func step(at now: Timestamp) -> Int64 { now.milliseconds / 1_000 / Self.stepSeconds }

    /// The digits of a step (RFC 4226 section 5.3).
    static func code(secret: [UInt8], step: Int64) -> String {
        let counter: [UInt8] = (0..<8).map { UInt8(truncatingIfNeeded: step >> (56 - 8 * Int64($0))) }
        let hash: [UInt8] = HMACSHA1.authenticate(counter, key: secret)
        let offset: Int = Int(hash[19] & 15)
        var value: UInt32 = 0
        for byte in hash[offset..<offset + 4] { value = value << 8 | UInt32(byte) }
        let digits: String = String(value & 0x7FFF_FFFF)
        return String((String(repeating: "0", count: 6) + digits).suffix(6))
    }

    /// The step whose code this is, near now and after `last`: each code works once. Nil when there is none.
    static func step(of code: String, secret: [UInt8], now: Timestamp, after last: Int64) -> Int64? {
        let present: Int64 = Self.step(at: now)
        var found: Int64?
        for step in (present - Self.stepsAround)...(present + Self.stepsAround)
        where ConstantTime.equals(Self.code(secret: secret, step: step), code) && step > last {
            found = step
        }
        return found
    }

    /// What apps read as a picture or a link.
    static func address(secret: [UInt8], user: String) -> String {
        "otpauth://totp/Passerelle:\(user)?secret=\(Base32.encode(secret))&issuer=Passerelle"
    }
}
