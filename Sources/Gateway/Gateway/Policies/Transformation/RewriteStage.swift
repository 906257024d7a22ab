import GatewayConfiguration
import Patterns

/// Sends another path upstream than the client's.
final class RewriteStage: RequestStage, @unchecked Sendable {
    private let rule: RewritePolicy.Rule
    private let replacement: PatternReplacement?

    /// Bytes of a path that goes upstream at most.
    static let pathBytesMax: Int = 8 << 10

    init(_ policy: RewritePolicy) {
        self.rule = policy.rule
        if case .regex(let expression, let text, _) = policy.rule {
            self.replacement = try? PatternReplacement(text, for: expression.expression)
        } else {
            self.replacement = nil
        }
        super.init(rank: .transformation)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        var path: [UInt8]
        switch self.rule {
        case .path(let template): path = Array(TemplateScope(context).lenientText(template, for: .path).utf8)
        case .regex(let expression, _, let all):
            path = context.forwardedPath(decision.forwarding)
            guard let replacement: PatternReplacement = self.replacement else { return .next }
            do throws(PatternFailure) {
                guard
                    let changed: [UInt8] = try expression.expression.replacing(
                        path, with: replacement, all: all, bytesMax: Self.pathBytesMax)
                else { return .next }
                path = changed
            } catch {
                // What the path would have become nobody knows, and the old one may mean something else.
                return decision.refuse(error == .tooMuchWork ? .expressionLimit : .pathRefused)
            }
        }
        if path.first != UInt8(ascii: "/") { path.insert(UInt8(ascii: "/"), at: 0) }
        guard path.count <= Self.pathBytesMax, Self.isSafe(path) else { return decision.refuse(.pathRefused) }
        context.edits.path = path
        return .next
    }

    /// What was put together is screened like a path that was sent: it may hold no dot segments nor anything that ends it.
    private static func isSafe(_ path: [UInt8]) -> Bool {
        var scratch: [UInt8] = [UInt8](repeating: 0, count: PathScreen.scratchNeeded(path.count))
        let result: PathScreen.Result = path.withUnsafeBytes { bytes in
            scratch.withUnsafeMutableBytes { PathScreen.screen(bytes, scratch: $0) }
        }
        return result.verdict != .refused
            && path.allSatisfy { PlainBytes.contains($0) || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "%") }
    }
}

/// Sends the client elsewhere.
final class RedirectStage: RequestStage, @unchecked Sendable {
    private let policy: RedirectPolicy

    init(_ policy: RedirectPolicy) {
        self.policy = policy
        super.init(rank: .transformation)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        var target: String = TemplateScope(context).lenientText(self.policy.target, for: .path)
        let query: [UInt8] = context.forwardedQuery(decision.forwarding)
        if self.policy.keepsQuery, !query.isEmpty, !target.utf8.contains(UInt8(ascii: "?")) {
            target += "?" + String(decoding: query, as: UTF8.self)
        }
        var fields: FieldLines = FieldLines()
        fields.add("Location", FieldBytes.value(target))
        return .answer(LocalAnswer(status: self.policy.status, fields: fields, enters: .securityHeaders))
    }
}

extension PolicyContext {
    /// The path as it would go upstream now: what a stage put there, or the client's without the API's prefix.
    func forwardedPath(_ forwarding: Forwarding) -> [UInt8] {
        if let path: [UInt8] = self.edits.path { return path }
        let path: ArraySlice<UInt8> = Array(self.request.path).dropFirst(Int(forwarding.strippedPathLength))
        return path.isEmpty ? [UInt8(ascii: "/")] : Array(path)
    }

    /// The query as it would go upstream now: what a stage put there, or the client's without the key.
    func forwardedQuery(_ forwarding: Forwarding) -> [UInt8] { self.edits.query ?? self.ownQuery(forwarding) }

    /// The client's query without the key.
    func ownQuery(_ forwarding: Forwarding) -> [UInt8] {
        var query: [UInt8] = Array(self.request.query)
        let start: Int = Int(forwarding.strippedQueryOffset)
        let end: Int = start + Int(forwarding.strippedQueryLength)
        if end > start, end <= query.count { query.removeSubrange(start..<end) }
        return query
    }
}
