/// A span of the calendar in UTC, in which a quota counts. A week begins on Monday (ISO 8601).
package enum CalendarUnit: String, Sendable, Equatable, CaseIterable {
    case minute
    case hour
    case day
    case week
    case month
    case year
}
