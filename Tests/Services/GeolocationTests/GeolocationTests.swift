// Tests of Geolocation.
