import Glibc

/// A system call that failed: which one, and errno.
package struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
    package let code: Int32
    package let call: String

    package init(code: Int32, call: String) {
        self.code = code
        self.call = call
    }

    /// The error that the call just made left in errno.
    package static func last(_ call: String) -> SystemError { SystemError(code: errno, call: call) }

    /// The kernel's words for the code, such as "Address already in use".
    package var reason: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) {
            (buffer: UnsafeMutableBufferPointer<CChar>) -> String in
            guard let start: UnsafeMutablePointer<CChar> = buffer.baseAddress else { return "errno \(self.code)" }
            guard strerror_r(self.code, start, buffer.count) == 0 else { return "errno \(self.code)" }
            return String(cString: start)
        }
    }

    package var description: String { "\(self.call): \(self.reason) (errno \(self.code))" }

    package var isAddressInUse: Bool { self.code == EADDRINUSE }
}
