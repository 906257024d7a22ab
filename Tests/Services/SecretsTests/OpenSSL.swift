import Foundation
import TestKit

/// The openssl command line: what others make of our certificates.
struct OpenSSL {
    let folder: TemporaryFolder = TemporaryFolder()

    /// A file in the folder. - Returns: its path.
    func file(_ name: String, _ text: String) -> String { self.folder.write(Array(text.utf8), to: name) }

    func file(_ name: String, _ bytes: [UInt8]) -> String { self.folder.write(bytes, to: name) }

    /// What it prints, errors too, and its exit code. The thread that waits is none of the pool.
    func run(_ words: String...) async throws -> (code: Int32, text: String) { try await self.run(words: words) }

    func run(words: [String]) async throws -> (code: Int32, text: String) {
        let output: String = self.folder.file("output")
        _ = FileManager.default.createFile(atPath: output, contents: nil)
        let process: Process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["openssl"] + words
        let handle: FileHandle = try FileHandle(forWritingTo: URL(filePath: output))
        process.standardOutput = handle
        process.standardError = handle
        process.standardInput = FileHandle.nullDevice
        let code: Int32 = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        try handle.close()
        return (code, String(decoding: try Data(contentsOf: URL(filePath: output)), as: UTF8.self))
    }
}
