module example.com/parcels/real/cloakroom

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/gorilla/sessions v1.1.3
)

require (
	github.com/gorilla/context v1.1.1 // indirect
	github.com/gorilla/securecookie v1.1.1 // indirect
)

replace example.com/parcels => ../../
