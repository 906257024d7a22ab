/// Stored responses as answers.
enum CacheAnswers {
    /// Fields of a 304 (RFC 9110, 15.4.5); what describes the body stays away.
    private static let unchangedFields: [String] = [
        "cache-control", "content-location", "date", "etag", "expires", "vary", "last-modified",
    ]

    /// `status`: what `Cache-Status` says; nil: no such field.
    static func answer(_ entry: CacheEntry, _ request: RequestView, now: UInt64, status: String?) -> LocalAnswer {
        var answer: LocalAnswer = LocalAnswer(status: entry.status, reason: .cached, enters: .end)
        if entry.status == 200, self.isUnchanged(entry, request) {
            answer.status = 304
            for name in self.unchangedFields {
                for index in entry.fields.lines.indices where entry.fields.hasName(at: index, name) {
                    answer.fields.add(entry.fields.nameText(at: index), Array(entry.fields.value(at: index)))
                }
            }
        } else {
            answer.fields = entry.fields
            answer.body = entry.body
        }
        answer.fields.add("Age", "\(max(0, entry.age(now: now)))")
        if let status: String = status { answer.fields.add("Cache-Status", "passerelle; \(status)") }
        return answer
    }

    /// Whether the client's condition says that it has this response (RFC 9110, 13.1.2 and 13.1.3).
    private static func isUnchanged(_ entry: CacheEntry, _ request: RequestView) -> Bool {
        if let condition: String = CacheStage.value("if-none-match", request) {
            guard let tags: [String] = EntityTag.list(condition) else { return true }
            guard let own: String = entry.etag else { return false }
            for tag in tags where EntityTag.weaklyEqual(tag, own) { return true }
            return false
        }
        guard let condition: String = CacheStage.value("if-modified-since", request) else { return false }
        let stamp: String? = entry.lastModified ?? entry.fields.first("date")
        // The century of a two-digit year does not depend on a second more or less.
        let now: Int64 = 1_700_000_000
        guard let stamp: String = stamp, let since: Int64 = HTTPDate.seconds(condition, now: now),
            let changed: Int64 = HTTPDate.seconds(stamp, now: now)
        else { return false }
        return changed <= since
    }
}
