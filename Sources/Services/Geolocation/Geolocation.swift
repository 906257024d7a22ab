// The room Geolocation.
