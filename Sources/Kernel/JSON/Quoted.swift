/// Names from outside, as messages quote them.
package enum Quoted {
    /// Longer names are cut.
    private static let charactersMax: Int = 64

    /// `text` between double quotes, escaped as in JSON, cut when it is long.
    package static func text(_ text: String) -> String {
        let isLong: Bool = text.unicodeScalars.count > self.charactersMax
        var kept: String = ""
        kept.unicodeScalars.append(contentsOf: text.unicodeScalars.prefix(self.charactersMax))
        return JSONValue.string(isLong ? kept + "…" : kept).jsonText
    }
}
