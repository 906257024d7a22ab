import Bytes
import Crypto

/// A server of somebody else: each checkpoint is posted there as it stands (`text/plain`), and 2xx means that it is kept.
///
/// 409 means that it has one that this one does not continue.
package struct WebhookAnchor: CheckpointAnchor {
    /// Posts a text. - Returns: the status.
    package typealias Post = @Sendable (_ text: [UInt8]) async throws -> Int

    package let name: String
    package let canBeAsked: Bool = false
    private let post: Post

    /// - Parameters:
    ///   - server: scheme, host and port.
    ///   - url: all of it. Its name has a hash in place of the path, which may be a secret.
    package init(server: String, url: String, post: @escaping Post) {
        self.name = "url \(server) (\(Hex.encode(SHA256.hash(Array(url.utf8)).prefix(4))))"
        self.post = post
    }

    package func newest() async throws(AnchorError) -> [UInt8]? { nil }

    package func keep(_ note: String, size: Int64) async throws(AnchorError) {
        let status: Int
        do {
            status = try await self.post(Array(note.utf8))
        } catch {
            throw .failed("\(error)")
        }
        if status == 409 { throw .disputed("the server has a checkpoint that this one does not continue (409)") }
        guard (200...299).contains(status) else { throw .failed("the server answered \(status)") }
    }
}
