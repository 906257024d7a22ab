import Files
import JSON
package import Telemetry
package import Time

/// A gateway's way to learn what its control plane has ended.
package protocol RevocationLink: Sendable {
    /// What came after `number`, as soon as there is something; nothing after `wait`.
    func revocations(after number: Int64, wait: Duration) async throws -> LinkRevocations
}

/// What was ended since.
package struct LinkRevocations: Sendable {
    /// What to ask with next.
    package let latest: Int64
    package let revoked: [RevokedTokens]

    package init(latest: Int64, revoked: [RevokedTokens]) {
        self.latest = latest
        self.revoked = revoked
    }
}

/// Keeps a gateway at what its control plane has ended, and that on its disk: a gateway that starts without its control plane still
/// refuses what was ended before.
///
/// ```
/// revocations.json   {"latest": N, "revoked": [["id", at, ends], …]}: seconds since 1970; replaced as a whole
/// ```
package actor RevocationFollower {
    /// Shorter than what makes a gateway away.
    static let wait: Duration = .seconds(8)
    static let fileBytesMax: Int = 256 << 20

    private let link: any RevocationLink
    private let path: String
    private let live: LiveState
    private let clock: any WallClock
    private let logger: Logger
    private var latest: Int64 = 0

    package init(link: any RevocationLink, folder: String, live: LiveState, clock: any WallClock, logger: Logger) {
        self.link = link
        self.path = "\(folder)/revocations.json"
        self.live = live
        self.clock = clock
        self.logger = logger
    }

    private var now: Int64 { self.clock.now().milliseconds / 1_000 }

    /// Reads what was kept; before the gateway answers its first request.
    package func load() {
        guard Files.exists(self.path), let bytes = try? Files.read(self.path, bytesMax: Self.fileBytesMax) else {
            return
        }
        let limits: JSONLimits = JSONLimits(depth: 4, bytes: Self.fileBytesMax)
        guard let value: JSONValue = try? JSONReader.parse(bytes, limits: limits),
            let latest: Int64 = value["latest"]?.integer
        else {
            self.logger.log(.warning, "the list of revoked tokens on disk cannot be read", ["path": .string(self.path)])
            return
        }
        var revoked: [RevokedTokens] = []
        for element in value["revoked"]?.elements ?? [] {
            guard let parts: [JSONValue] = element.elements, parts.count == 3, let id: String = parts[0].text,
                let at: Int64 = parts[1].integer, let ends: Int64 = parts[2].integer
            else { continue }
            revoked.append(RevokedTokens(id: id, at: at, ends: ends))
        }
        self.latest = latest
        self.live.authentication.revocations.add(revoked, now: self.now)
    }

    /// Follows the control plane until cancelled. That it is away, the snapshot's follower says.
    package func run() async {
        var pause: LinkPause = LinkPause()
        var isKnown: Bool = true
        while !Task.isCancelled {
            do {
                try await self.follow()
                pause.reset()
                isKnown = true
            } catch is CancellationError {
                return
            } catch {
                if isKnown, LinkPause.isUnknown(error) {
                    isKnown = false
                    self.logger.log(.warning, "the control plane is too old to tell which tokens were revoked")
                }
                try? await self.clock.sleep(for: pause.take(after: error))
            }
        }
    }

    func follow() async throws {
        let news: LinkRevocations = try await self.link.revocations(after: self.latest, wait: Self.wait)
        let now: Int64 = self.now
        self.live.authentication.revocations.add(news.revoked, now: now)
        guard news.latest != self.latest else { return }
        self.latest = news.latest
        self.live.authentication.revocations.prune(now: now)
        await self.save()
    }

    private func save() async {
        let revoked: [JSONValue] = self.live.authentication.revocations.all.map {
            .array([.string($0.id), .int($0.at), .int($0.ends)])
        }
        let bytes: [UInt8] = JSONValue.object(["latest": .int(self.latest), "revoked": .array(revoked)]).serialized()
        do {
            try Files.replace(self.path, with: bytes)
        } catch {
            self.logger.log(
                .warning, "the list of revoked tokens could not be kept on disk", ["error": .string("\(error)")])
        }
    }
}
