"""The image and the composition: what they promise, and the composition's services run for real, without containers.

composition   docker-compose.yml as Compose understands it
dockerfile    the Dockerfile as a list of instructions
machine       the services as processes of this machine, in the order that the file demands
"""
