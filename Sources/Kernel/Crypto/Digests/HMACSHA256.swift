import COpenSSL

/// HMAC with SHA-256 (RFC 2104).
package enum HMACSHA256 {
    package static let length: Int = 32

    /// The 32 bytes that authenticate `bytes` under `key`.
    package static func authenticate(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] {
        var output: [UInt8] = [UInt8](repeating: 0, count: HMACSHA256.length)
        var length: UInt32 = 0
        let result: UnsafeMutablePointer<UInt8>? = HMAC(
            SHA256.algorithm, key, Int32(key.count), bytes, bytes.count, &output, &length)
        precondition(result != nil && length == 32, "HMAC-SHA-256 failed: \(OpenSSLErrors.drain())")
        return output
    }

    /// Whether `code` authenticates `bytes`; compared in constant time.
    package static func isValid(_ code: [UInt8], for bytes: [UInt8], key: [UInt8]) -> Bool {
        ConstantTime.equals(code, HMACSHA256.authenticate(bytes, key: key))
    }
}
