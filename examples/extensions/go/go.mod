module tenants

go 1.24
