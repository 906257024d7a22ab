import COpenSSL

/// HMAC with SHA-1 (RFC 2104), for one-time passwords only (RFC 6238): their apps know nothing else, and HMAC does not suffer from what
/// makes SHA-1 unfit for signatures.
package enum HMACSHA1 {
    package static let length: Int = 20

    /// The 20 bytes that authenticate `bytes` under `key`.
    package static func authenticate(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] {
        var output: [UInt8] = [UInt8](repeating: 0, count: HMACSHA1.length)
        var length: UInt32 = 0
        let result: UnsafeMutablePointer<UInt8>? = HMAC(
            EVP_sha1(), key, Int32(key.count), bytes, bytes.count, &output, &length)
        precondition(result != nil && length == 20, "HMAC-SHA-1 failed: \(OpenSSLErrors.drain())")
        return output
    }
}
