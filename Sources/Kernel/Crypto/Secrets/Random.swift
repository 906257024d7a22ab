import Bytes
import COpenSSL

/// Random numbers fit for keys and tokens: OpenSSL's generator, seeded by the kernel, one per thread.
package enum Random {
    package static func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: count)
        let result: Int32 = RAND_bytes(&bytes, Int32(count))
        precondition(result == 1, "no random numbers: \(OpenSSLErrors.drain())")
        return bytes
    }

    /// A secret to hand out: `prefix` and so many random bytes in URL-safe base64. The prefix lets scanners find leaked ones.
    package static func token(prefix: String, bytes: Int) -> String {
        prefix + Base64.encodeURL(Random.bytes(bytes))
    }
}

/// Comparisons whose duration tells nothing about where two values differ.
package enum ConstantTime {
    /// Whether both are the same bytes. Only the lengths show in the time taken.
    package static func equals(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
    }

    /// The same for memory in place.
    package static func equals(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let leftStart = left.baseAddress, let rightStart = right.baseAddress else { return true }
        return CRYPTO_memcmp(leftStart, rightStart, left.count) == 0
    }

    /// The same for texts (their UTF-8 bytes).
    package static func equals(_ left: String, _ right: String) -> Bool {
        ConstantTime.equals(Array(left.utf8), Array(right.utf8))
    }
}
