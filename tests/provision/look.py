"""What the tests of `faafo provision` ask of the official client: a JSON request a line, a JSON answer a line."""
import base64
import json
import os
import sys
import time

import openstack
import yaml

cloud = openstack.connect()
admin = openstack.connect(cloud=os.environ["FAAFO_TEST_ADMIN_CLOUD"])
project = cloud.current_project_id
net = cloud.network
storage = cloud.block_storage if any(s["type"] in ("volumev3", "block-storage") for s in cloud.service_catalog) else None


def snapshot(**_):
    """All that the project owns, in a form that is equal if nothing has changed."""
    end = time.monotonic() + 600
    while any(s.status == "BUILD" for s in cloud.compute.servers()):
        if time.monotonic() > end:
            raise TimeoutError("a server is being built for ten minutes")
        time.sleep(0.5)
    while any(v["status"].endswith("ing") for v in volumes().values()):
        if time.monotonic() > end:
            raise TimeoutError("a volume is on its way for ten minutes")
        time.sleep(0.5)
    seen_by_admin = {s.id: s for s in admin.compute.servers(all_projects=True, project_id=project)}
    own = dict(project_id=project)
    containers = {}
    for container in cloud.object_store.containers():
        objects = cloud.object_store.objects(container.name)
        containers[container.name] = {o.name: o.content_length for o in objects}
    return {
        "servers": {
            s.name: {
                "id": s.id, "status": s.status, "metadata": s.metadata, "key": s.key_name,
                "tags": sorted(admin.compute.get("/servers/%s/tags" % s.id, microversion="2.26").json()["tags"]),
                "user_data": base64.b64decode(seen_by_admin[s.id].user_data or "").decode(),
                "addresses": {a["OS-EXT-IPS:type"]: a["addr"] for n in s.addresses.values() for a in n},
            } for s in cloud.compute.servers()
        },
        "networks": {n.name: {"id": n.id, "description": n.description, "tags": n.tags} for n in net.networks(**own)},
        "subnets": {s.name: {"id": s.id, "description": s.description, "cidr": s.cidr} for s in net.subnets(**own)},
        "routers": {
            r.name: {"id": r.id, "description": r.description,
                     "joined": sorted(p.fixed_ips[0]["subnet_id"] for p in net.ports(device_id=r.id)
                                      if p.device_owner == "network:router_interface")}
            for r in net.routers(**own)
        },
        "groups": {
            g.name: {"id": g.id, "description": g.description, "rules": sorted(
                "%s %s-%s %s %s" % (r["protocol"], r["port_range_min"], r["port_range_max"], r["ethertype"],
                                    r["remote_ip_prefix"] or group_name(r["remote_group_id"]))
                for r in g.security_group_rules if r["direction"] == "ingress")}
            for g in net.security_groups(**own) if g.name != "default"
        },
        "ports": {
            p.name: {"id": p.id, "ip": p.fixed_ips[0]["ip_address"] if p.fixed_ips else None, "description": p.description,
                     "groups": sorted(group_name(g) for g in p.security_group_ids)}
            for p in net.ports(**own) if not p.device_owner.startswith("network:")
        },
        "addresses": {
            f.floating_ip_address: {"id": f.id, "description": f.description, "port": f.port_id} for f in net.ips(**own)
        },
        "keys": sorted(k.name for k in cloud.compute.keypairs()),
        "containers": containers,
        "stacks": {s.name: s.status for s in cloud.orchestration.stacks()},
        "volumes": volumes(),
    }


def volumes():
    """Those of the project, if the cloud has such."""
    return {
        v.name: {"id": v.id, "size": v.size, "status": v.status, "metadata": v.metadata, "description": v.description,
                 "at": sorted(a["server_id"] for a in v.attachments)}
        for v in (storage.volumes() if storage else ())
    }


def has_volumes():
    return bool(storage)


def volume(name):
    """One that is somebody else's."""
    storage.wait_for_status(storage.create_volume(name=name, size=1), "available", interval=0.3, wait=600)


def delete_volume(name):
    found = storage.find_volume(name)
    if found:
        storage.delete_volume(found)
        storage.wait_for_delete(found, interval=0.3, wait=600)


def volume_status(name, status):
    """What only the cloud's operator can say of it."""
    found = storage.find_volume(name, ignore_missing=False)
    admin.block_storage.reset_volume_status(found.id, status, None, None)


def volume_quota(volumes, gigabytes):
    admin.set_volume_quotas(project, volumes=volumes, gigabytes=gigabytes)


def workers():
    """Servers that are there for workers and the ports for such, while they come and go."""
    names = {"servers": [s.name for s in cloud.compute.servers()],
             "ports": [p.name for p in net.ports(project_id=project)]}
    return {kind: sorted(n for n in found if "-worker-" in n) for kind, found in names.items()}


def server_names():
    """The servers that are there, while they come and go."""
    return sorted(s.name for s in cloud.compute.servers())


def doubled():
    """Names that several things of a kind have, and how many floating IPs there are."""
    own = dict(project_id=project)
    kinds = [cloud.compute.servers(), net.networks(**own), net.subnets(**own), net.routers(**own), net.security_groups(**own),
             (p for p in net.ports(**own) if p.name), cloud.orchestration.stacks()]
    names = [[thing.name for thing in kind] for kind in kinds]
    return {"names": sorted({n for kind in names for n in kind if kind.count(n) > 1}), "addresses": len(list(net.ips(**own)))}


def group_name(group):
    return net.get_security_group(group).name if group else None


def user_data(text):
    """Parsed as cloud-init does, and held to its own schema where that is known."""
    parsed = yaml.safe_load(text)
    known = os.environ.get("FAAFO_TEST_CLOUD_INIT_SCHEMA")
    if known:
        import jsonschema
        with open(known) as file:
            schema = json.load(file)
        jsonschema.Draft4Validator(schema).validate(parsed)
    return {"parsed": parsed, "schema": bool(known)}


def network(name, cidr, dhcp=True):
    made = net.create_network(name=name)
    net.create_subnet(network_id=made.id, ip_version=4, cidr=cidr, name=name, enable_dhcp=dhcp)
    return made.id


def ports(prefix):
    """Addresses of ports by their names, while they come."""
    return {p.name: p.fixed_ips[0]["ip_address"] for p in net.ports(project_id=project)
            if p.name.startswith(prefix) and p.fixed_ips}


def shut_off(name):
    found = cloud.compute.find_server(name, ignore_missing=False)
    cloud.compute.stop_server(found)
    cloud.compute.wait_for_server(found, status="SHUTOFF", interval=0.5, wait=120)


def until_active(name):
    found = cloud.compute.find_server(name, ignore_missing=False)
    cloud.compute.wait_for_server(found, status="ACTIVE", interval=0.5, wait=120)


def delete_network(name):
    made = net.find_network(name)
    if made:
        net.delete_network(made)


def address():
    return net.create_ip(floating_network_id=net.find_network("public").id).floating_ip_address


def delete_address(ip):
    for found in net.ips(floating_ip_address=ip):
        net.delete_ip(found)


def object(container, name):
    cloud.object_store.create_container(container)
    cloud.create_object(container, name, data=b"not faafo's")


def delete_object(container, name):
    cloud.object_store.delete_object(name, container=container, ignore_missing=True)
    cloud.object_store.delete_container(container, ignore_missing=True)


def flavor(name, ram, disk):
    admin.compute.find_flavor(name) or admin.compute.create_flavor(name=name, ram=ram, vcpus=1, disk=disk)


def quota(instances):
    admin.set_compute_quotas(project, instances=instances)


def image(name):
    found = cloud.image.find_image(name)
    if not found:
        found = cloud.create_image(name, data=b"\0" * 1024, disk_format="raw", container_format="bare", wait=True)
        time.sleep(1.1)  # images know their age in whole seconds
    return found.id


def delete_image(name):
    cloud.image.delete_image(cloud.image.find_image(name, ignore_missing=False))


def servers(prefix, count):
    """The names of as many servers, once they are there."""
    end = time.monotonic() + 600
    while True:
        found = {s.name: s.status for s in cloud.compute.servers() if s.name.startswith(prefix)}
        if len(found) == count and set(found.values()) == {"ACTIVE"}:
            return sorted(found)
        if "ERROR" in found.values() or time.monotonic() > end:
            raise TimeoutError("there are %s, and not %d" % (found, count))
        time.sleep(0.5)


def preview(name, template, parameters):
    """What Heat would make, which has looked at all of it."""
    cloud.orchestration.validate_template(template)
    order = {"stack_name": name, "template": template, "parameters": parameters}
    answer = cloud.orchestration.post("/stacks/preview", json=order)
    openstack.exceptions.raise_from_response(answer)
    parts = answer.json()["stack"]["resources"]
    # A group is the list of what is in it.
    flat = [inner for part in parts for inner in (part if isinstance(part, list) else [part])]
    return sorted(part["resource_type"] for part in flat)


def stack(name):
    """What a stack tells, once it is there."""
    end = time.monotonic() + 600
    while True:
        found = cloud.orchestration.find_stack(name, ignore_missing=False)
        if found.status == "CREATE_COMPLETE":
            return {output["output_key"]: output["output_value"] for output in found.outputs}
        if found.status != "CREATE_IN_PROGRESS" or time.monotonic() > end:
            raise TimeoutError("%s: %s" % (found.status, found.status_reason))
        time.sleep(0.5)


def delete_stack(name):
    found = cloud.orchestration.find_stack(name, ignore_missing=False)
    cloud.orchestration.delete_stack(found)
    cloud.orchestration.wait_for_delete(found, interval=1, wait=600)


def region(name, without):
    """A region that lacks a service."""
    identity = admin.identity
    identity.find_region(name) or identity.create_region(id=name)
    types = {s.id: s.type for s in identity.services()}
    if not list(identity.endpoints(region_id=name)):
        for e in list(identity.endpoints(region_id=os.environ["FAAFO_TEST_REGION"], interface="public")):
            if types[e.service_id] not in without:
                identity.create_endpoint(service_id=e.service_id, interface="public", region_id=name, url=e.url)


def credential(name):
    """An application credential."""
    user = cloud.current_user_id
    for old in cloud.identity.application_credentials(user=user, name=name):
        cloud.identity.delete_application_credential(user, old)
    made = cloud.identity.create_application_credential(user=user, name=name)
    return {"id": made.id, "secret": made.secret}


def access():
    """What the environment of an openrc file would say, and a token."""
    auth = cloud.config.config["auth"]
    return {"auth": auth, "token": cloud.auth_token, "project": project,
            "endpoints": {kind: cloud.endpoint_for(kind) for kind in ("network", "compute", "orchestration")}}


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"ok": globals()[request.pop("do")](**request)}
    except Exception as error:
        answer = {"error": "%s: %s" % (type(error).__name__, error)}
    print(json.dumps(answer), flush=True)
